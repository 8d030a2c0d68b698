"""Tables that a notebook shows: words where there is no HTML, and cells that fit where there is."""

from jukebox_helpers.workshop.views import Table

HASH = "520e55af3f64196b46a1216c29528acc2428a18d966ab34d98701e9e2f061eab"


def test_a_table_has_words_and_is_set_to_the_left():
    table = Table([{"what": "git repository", "found": HASH}])
    assert "git repository" in repr(table) and HASH in repr(table) and "<" not in repr(table)
    page = table._repr_html_()
    assert '<th style="text-align: left">what</th>' in page
    assert '<td style="text-align: left">git repository</td>' in page
    assert f'<td style="text-align: left; overflow-wrap: anywhere">{HASH}</td>' in page


def test_an_address_is_a_link_and_everything_else_is_text():
    page = Table([{"where": "https://example.com/user1/a-repository.git"}, {"where": "<b>"}])._repr_html_()
    assert 'anywhere"><a href="https://example.com/user1/a-repository.git"' in page
    assert "&lt;b&gt;" in page and "<b>" not in page


def test_an_empty_table_says_so():
    assert repr(Table([], "No push so far.")) == Table([], "No push so far.")._repr_html_() == "No push so far."
