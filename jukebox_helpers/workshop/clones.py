"""The attendee's folders: the clones of the platform's repositories, and the practice repository."""

from pathlib import Path

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.settings import GITOPS_REPOSITORY, REPOSITORY, Settings, find_settings
from jukebox_helpers.steps.constants import VERSION_FILE
from jukebox_helpers.steps.dvc import read_version_file
from jukebox_helpers.steps.git import git


class Clones:
    """The attendee's folders, and git in them. The platform is found where no settings are given."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or find_settings()
        self.clone = self.settings.clone(REPOSITORY)
        self.tables = self.settings.state / "tables"
        self.gitops = self.clone.parent / GITOPS_REPOSITORY
        self.practice = self.clone.parent / "data-practice"

    def __repr__(self) -> str:
        return (
            f"Platform {self.settings.platform}, user {self.settings.user}\n"
            f"your clone     {self.clone}\nbuckets        {self.gitops}\npractice       {self.practice}"
        )

    def git(self, *arguments: str, folder: str | Path | None = None) -> str:
        """Run git, e.g. ``"log", "--oneline"``, in the clone or another folder, with the platform's credentials.

        Returns what git prints, without the last line break. A folder that is gone, or git that fails, is a
        JukeboxError.
        """
        where = Path(folder or self.clone)
        # In a folder of ours without .git, git would find the repository around it.
        if not where.is_dir() or (where in (self.clone, self.gitops) and not (where / ".git").exists()):
            raise JukeboxError(
                f"{where} is not a git repository any more: the folder was moved, deleted or emptied.",
                f"{'Move the rest of it away, then r' if where.exists() else 'R'}un the notebook's first cell again, "
                "or ./jukebox catch-up 0 in a terminal: what was pushed is cloned anew.",
            )
        with git_credentials(self.settings):
            try:
                return git(*arguments, folder=str(where))
            except (OSError, RuntimeError) as error:
                told = JukeboxError.told(error)
                also = "./jukebox status says whether the git server runs."
                raise JukeboxError(told.what, f"{told.next_action} {also}") from None

    def head(self, repository: str = REPOSITORY) -> str:
        """The revision at the head of ``main`` on the git server."""
        return self.git("ls-remote", self.settings.repository_url(repository), "refs/heads/main").split("\t")[0]

    def fetch(self, repository: str = REPOSITORY) -> str:
        """Learn what is new on the git server, change nothing in the clone, and return the head of ``main``."""
        folder = self.clone if repository == REPOSITORY else self.gitops
        self.git("fetch", "--quiet", "origin", folder=folder)
        return self.git("rev-parse", "origin/main", folder=folder)

    def on_main(self, path: str, repository: str = REPOSITORY) -> str:
        """The text of a file at the head of ``main`` on the server; empty if there is none."""
        self.fetch(repository)
        folder = self.clone if repository == REPOSITORY else self.gitops
        listed = self.git("ls-tree", "--name-only", "origin/main", "--", path, folder=folder)
        return self.git("show", f"origin/main:{path}", folder=folder) + "\n" if listed else ""

    def version_on_main(self) -> str:
        """The data version (md5) that the head of ``main`` on the server names; empty if it names none."""
        text = self.on_main(VERSION_FILE)
        return named_version(text) if text else ""

    def branch(self, folder: Path) -> str:
        """What a clone has checked out, in words: ``main``, another branch, or a commit that is on none."""
        return self.git("branch", "--show-current", folder=folder) or "no branch (a detached HEAD)"

    def edited(self, path: str, folder: Path) -> str:
        """Where an edit of a file is: ``""``, ``"not committed"`` or ``"not pushed"``, with the branch if not main."""
        where = "" if (branch := self.branch(folder)) == "main" else f" on {branch}; git switch main leads back"
        if self.git("status", "--porcelain", "--", path, folder=folder):
            return f"not committed{where}"
        new = self.git("log", "--oneline", "origin/main..HEAD", "--", path, folder=folder)
        return f"not pushed{where}" if new else ""

    @as_jukebox_error()
    def practise_version(self, revision: str = "") -> str:
        """The data version (md5) that the practice repository names: as it is there, or in a revision of it."""
        file = self.practice / VERSION_FILE
        if revision:
            text = self.git("show", f"{revision}:{VERSION_FILE}", folder=self.practice)
            return named_version(text)
        return read_version_file(str(file))["md5"] if file.is_file() else ""

    def practised_versions(self) -> list[str]:
        """The data versions that the practice repository has committed, newest first, one for each commit."""
        if not (self.practice / ".git").exists() or not self.git("branch", "--list", "main", folder=self.practice):
            return []
        log = self.git("log", "--format=%H", "--", VERSION_FILE, folder=self.practice)
        return [self.practise_version(revision) for revision in log.split()]


def named_version(text: str) -> str:
    """The data version (md5) that the text of a version file names."""
    return text.split("outs:")[1].split("md5: ")[1].split()[0]
