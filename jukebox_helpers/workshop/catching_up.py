"""Catching up: bring the platform to the state in which a notebook starts, and lose nothing of the attendee's.

What is missing is done on a fresh copy of the server's branch ``main``, never in the attendee's clone. The clone then
follows; where own edits stand in the way, they are kept on a branch first.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from jukebox_helpers import sandbox
from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.settings import GITOPS_REPOSITORY, REPOSITORY, TRAINING_PIPELINE
from jukebox_helpers.steps.constants import DATA_HASH, NOTEBOOK_COUNT, VERSION_FILE, WANTED_BUCKETS
from jukebox_helpers.steps.git import clone_main, git
from jukebox_helpers.steps.messages import parts
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.buckets import CONFIG, listed_buckets
from jukebox_helpers.workshop.exercises import CATALOGUE, exercise
from jukebox_helpers.workshop.place import Workplace, load_songs, loaded_md5

NOTEBOOKS = range(NOTEBOOK_COUNT)
Say = Callable[[str], None]


@as_jukebox_error()
def catch_up(number: int, say: Say = print) -> Workplace:
    """Bring clone, buckets, data and registry to the state in which a notebook starts.

    What is there already stays as it is, and a second call changes nothing. It never goes back. ``say`` is told what
    was done. Returns where the attendee works; what could not be done is a JukeboxError.
    """
    if number not in NOTEBOOKS:
        raise JukeboxError(f"There is no notebook {number}.", f"Name one from 0 to {NOTEBOOK_COUNT - 1}.")
    place = Workplace()
    for name in CATALOGUE:
        exercise(name, place)
    done = []
    for stage, bring in STAGES:
        if stage <= number and (news := bring(place)):
            done.append(news)
            say(f"· {news}")
    for folder in (place.clone, place.gitops, place.practice):
        ignore_checkpoints(folder)
    for repository, folder in ((REPOSITORY, place.clone), (GITOPS_REPOSITORY, place.gitops)):
        if news := follow_main(place, repository, folder, number):
            say(f"· {news}")
    place.enter()
    say(f"Ready for notebook {number}." if done else f"Ready for notebook {number}: nothing was missing.")
    return place


def bring_clones(place: Workplace) -> str:
    """The clones are there, and a pull puts own commits on top of main; one that was deleted comes back as pushed."""
    if place.settings.is_sandbox:  # which sees to the rest at each start
        missing = [folder.name for folder in (place.clone, place.gitops) if not folder.exists()]
        if missing:
            sandbox.clone_again(place.settings.state)
        return f"cloned {' and '.join(missing)} again" if missing else ""
    news = ""
    if not (place.gitops / ".git").exists():
        with git_credentials(place.settings):
            clone_main(place.settings.repository_url(GITOPS_REPOSITORY), str(place.gitops))
        news = f"cloned {GITOPS_REPOSITORY} to {place.gitops}"
    for folder in (place.clone, place.gitops):
        for key in ("pull.rebase", "pull.ff", "rebase.autoStash"):
            if not git("config", "--local", "--default", "", "--get", key, folder=str(folder)):
                git("config", key, "true", folder=str(folder))
    return news


def ignore_checkpoints(clone: Path) -> None:
    """Keep the copies that JupyterLab makes of what it opens out of a clone's ``git add .``; its own file says so."""
    file, line = clone / ".git" / "info" / "exclude", ".ipynb_checkpoints/\n"
    if (clone / ".git").is_dir() and line not in (known := file.read_text() if file.is_file() else ""):
        file.parent.mkdir(exist_ok=True)
        file.write_text(known + line)


def bring_buckets(place: Workplace) -> str:
    """The buckets of the data are there, because the file on main lists them."""
    on_main = listed_buckets(place.on_main(CONFIG, GITOPS_REPOSITORY), "main")
    if set(WANTED_BUCKETS) <= set(on_main) & set(place.buckets()):
        return ""
    commit_on_main(
        place, GITOPS_REPOSITORY, "Buckets for the data and its versions",
        lambda folder: edits.add_buckets(folder / CONFIG, list(WANTED_BUCKETS)),
    )  # fmt: skip
    place.wait_for_buckets(*WANTED_BUCKETS)
    return f"added the buckets {' and '.join(WANTED_BUCKETS)}, as code"


def bring_practice(place: Workplace) -> str:
    """The practice repository is there, empty."""
    if (place.practice / ".git").exists():
        return ""
    place.practice.mkdir(parents=True, exist_ok=True)
    git("init", "--quiet", "--initial-branch=main", folder=str(place.practice))
    git("config", "user.name", place.settings.user, folder=str(place.practice))
    git("config", "user.email", f"{place.settings.user}@example.com", folder=str(place.practice))
    return f"made an empty git repository to practise in: {place.practice}"


def bring_first_version(place: Workplace) -> str:
    """The practice repository has its first data version."""
    if place.practised_versions():
        return ""
    place.enter()
    kept = keep(place, place.practice, 3) if any(place.practice.glob("[!.]*")) else ""
    if not loaded_md5(place):
        place.publish("first")
        load_songs(place)
    for name in ("remotes", "first-version"):
        exercise(name, place).solve()
    return "tracked the songs with DVC in the practice repository" + (f"; {kept}" if kept else "")


def bring_training_code(place: Workplace) -> str:
    """The training on main fetches its data with DVC."""
    path = str(TRAINING_PIPELINE)
    text = place.on_main(path)
    if edits.fetches_with_dvc(text):
        return ""

    def change(folder: Path) -> None:
        file = folder / path
        if not (edits.is_starter(text) and edits.PLACE in text):
            # Somebody's own idea is on main: it stays in the history, the file goes back to the last good one.
            for revision in git("log", "--format=%H", "--", path, folder=str(folder)).split():
                file.write_text(git("show", f"{revision}:{path}", folder=str(folder)) + "\n")
                if edits.is_starter(file.read_text()) or edits.fetches_with_dvc(file.read_text()):
                    break
        edits.train_on_versioned_data(file)

    commit_on_main(place, REPOSITORY, "Train on versioned data", change)
    return "pushed the training that fetches its data with DVC (it stops until there is a data version)"


def bring_model(place: Workplace) -> str:
    """A model that was trained on versioned data is registered."""
    if place.versioned_models():
        return ""
    place.publish("first")
    note = "ran the data pipeline; " if not place.on_main(VERSION_FILE) else ""
    # It is the server's file that runs, so the clone follows first.
    news = follow_main(place, REPOSITORY, place.clone, 6)
    return "; ".join(filter(None, [news, f"{note}{place.train_on(place.songs_url)}"]))


def bring_second_model(place: Workplace) -> str:
    """A second model, trained on the songs of a week later, is registered."""
    if len({record["metadata"][DATA_HASH] for record in place.versioned_models()}) > 1:
        return ""
    place.publish("fresh")
    return f"fresh songs arrived; {place.train_on(place.songs_url)}"


STAGES: tuple[tuple[int, Callable[[Workplace], str]], ...] = (
    (0, bring_clones),
    (2, bring_buckets),
    (2, bring_practice),
    (3, bring_first_version),
    (5, bring_training_code),
    (6, bring_model),
    (7, bring_second_model),
)
"""The first notebook that starts with it, and what brings it."""


def commit_on_main(place: Workplace, repository: str, message: str, change: Callable[[Path], object]) -> str:
    """Change files on the server's branch main, through a clone of its own, whose folder ``change`` gets.

    Returns the new head of main; the old one where nothing changed.
    """
    identity = ("-c", f"user.name={place.settings.user}", "-c", f"user.email={place.settings.user}@example.com")
    with tempfile.TemporaryDirectory(prefix="jukebox-catch-up-") as folder, git_credentials(place.settings):
        clone_main(place.settings.repository_url(repository), folder)
        change(Path(folder))
        if git("status", "--porcelain", folder=folder):
            git(*identity, "commit", "--quiet", "--all", "--message", message, folder=folder)
            git("push", "--quiet", "origin", "main", folder=folder)
        return git("rev-parse", "HEAD", folder=folder)


def follow_main(place: Workplace, repository: str, clone: Path, number: int) -> str:
    """Bring the attendee's clone to the server's main. Edits that stand in the way are kept on a branch first.

    The branch is named after the notebook's number. Returns what was done, if anything.
    """
    head = place.fetch(repository)
    switched = switch_to_main(place, clone, number)
    if not place.git("rev-list", "HEAD..origin/main", folder=clone):
        return switched
    followed = "; ".join(filter(None, [switched, f"{clone.name} follows main to {head[:10]}"]))
    try:
        place.git("merge", "--quiet", "--ff-only", "origin/main", folder=clone)
        return followed
    except JukeboxError:
        news = keep(place, clone, number)
    changed = place.git("diff", "--name-only", "HEAD", "origin/main", folder=clone).split("\n")
    for path in changed:
        if place.git("status", "--porcelain", "--", path, folder=clone):
            if place.git("ls-tree", "--name-only", "HEAD", "--", path, folder=clone):
                place.git("checkout", "--quiet", "HEAD", "--", path, folder=clone)
            else:
                (clone / path).unlink()
    # --keep moves the branch and stops where it would touch any other edit.
    place.git("reset", "--quiet", "--keep", "origin/main", folder=clone)
    return f"{followed}; {news}"


def switch_to_main(place: Workplace, clone: Path, number: int) -> str:
    """Bring the attendee's clone to its branch main; edits, number and what is returned as in `follow_main`."""
    branch = place.git("branch", "--show-current", folder=clone)
    if branch == "main":
        return ""
    said = f"{clone.name} is on main now, and was on {branch or 'no branch'}"
    try:
        place.git("switch", "--quiet", "main", folder=clone)  # git refuses it where that would lose an edit
        return said
    except JukeboxError:
        news = keep(place, clone, number)
        place.git("checkout", "--quiet", "--force", "main", folder=clone)
        return f"{said}; {news}"


def keep(place: Workplace, clone: Path, number: int) -> str:
    """Keep everything in a clone, committed or not, on a branch of its own; nothing in the clone changes.

    The branch is named after the notebook's number. Returns what was kept where.
    """
    existing = place.git("branch", "--list", "--format=%(refname:short)", folder=clone).split()
    names = (f"my-work-{number}" + (f"-{again}" if again else "") for again in range(1000))
    name = next(name for name in names if name not in existing)
    head = place.git("rev-parse", "--verify", "--quiet", "HEAD", folder=clone) if existing else ""
    commit = snapshot(clone, head, f"What stood in the way of notebook {number}")
    place.git("branch", name, commit, folder=clone)
    return f"your own edits are kept on the branch {name} of {clone} (git show {name})"


def snapshot(clone: Path, head: str, message: str) -> str:
    """Commit the working tree through an index of its own, so that neither tree nor index nor branch change."""
    with tempfile.TemporaryDirectory(prefix="jukebox-keep-") as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        try:
            if head:
                git("read-tree", head, folder=str(clone), variables=own)
            git("add", "--all", folder=str(clone), variables=own)
            tree = git("write-tree", folder=str(clone), variables=own)
            parent = ["-p", head] if head else []
            return git("commit-tree", tree, "-m", message, *parent, folder=str(clone))
        except RuntimeError as error:
            why = parts(str(error))[0]
            raise JukeboxError(f"The edits in {clone} cannot be kept: {why}", "Commit them yourself.") from None
