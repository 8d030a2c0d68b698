"""Tables with changed values, types, shapes, columns, rows and bytes: refused in words, or read back equal."""

from damaged_tables import damaged_songs, some_songs, what_becomes_of_it

PROMISES = (3, 6)


def test_tables(tally, tmp_path):
    songs = some_songs(tmp_path)

    @tally.examples(2_500)
    def attack(data):
        table = data.draw(damaged_songs(songs))
        what_becomes_of_it(table, tmp_path)
        tally.count()

    attack()
