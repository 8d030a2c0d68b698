"""What became of a commit, as Gitea keeps it: statuses, of which the latest one of each context counts.

They are a table of the pipeline server's database: a post is on the disk when it is answered, and numbers of one commit
never meet, which a file would have to be locked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, Index, String, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from jukebox_sandbox.pipeline_server.tables import Base, now

STATES = ("pending", "success", "error", "failure", "warning", "skipped")
"""The states of Gitea: https://docs.gitea.com/api, ``CreateStatusOption``."""

FINAL = STATES[1:]
"""The states in which nothing more happens."""

LONGEST = 200
"""Characters of a description that the sandbox posts itself."""


class CommitStatus(Base):
    """One status of a commit; ``index`` counts a commit's statuses from 1, and is what Gitea calls ``id``."""

    __tablename__ = "commit_statuses"
    __table_args__ = (Index("status_by_commit", "repository", "revision", "index", unique=True),)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    repository: Mapped[str] = mapped_column(String(128))
    revision: Mapped[str] = mapped_column(String(40))
    index: Mapped[int]
    context: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(16))
    description: Mapped[str] = mapped_column(Text, default="")
    target_url: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


@dataclass
class CommitStatuses:
    """The statuses of all commits.

    Attributes:
        engine: The database.
    """

    engine: Engine

    def post(
        self, repository: str, revision: str, state: str, context: str, description: str = "", target_url: str = ""
    ) -> CommitStatus:
        """Add a status to a commit.

        Args:
            repository: The repository's name.
            revision: The commit, 40 hexadecimal digits.
            state: One of :data:`STATES`.
            context: Whose status this is, e.g. ``jukebox/ct``.
            description: What happened, in a line.
            target_url: Where there is more to see.

        Returns:
            The status.
        """
        with Session(self.engine, expire_on_commit=False) as session:
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")  # the next index is read and taken by one writer
            of_commit = (CommitStatus.repository == repository, CommitStatus.revision == revision)
            last = session.scalar(select(func.max(CommitStatus.index)).where(*of_commit)) or 0
            status = CommitStatus(
                repository=repository,
                revision=revision,
                index=last + 1,
                state=state,
                context=context.strip(),
                description=description.strip(),
                target_url=target_url.strip(),
            )
            session.add(status)
            session.commit()
            return status

    def of(self, repository: str, revision: str) -> list[CommitStatus]:
        """Every status of a commit, the newest first."""
        with Session(self.engine, expire_on_commit=False) as session:
            of_commit = (CommitStatus.repository == repository, CommitStatus.revision == revision)
            return list(session.scalars(select(CommitStatus).where(*of_commit).order_by(CommitStatus.index.desc())))

    def latest(self, repository: str, revision: str) -> dict[str, CommitStatus]:
        """The latest status of each context of a commit, the newest first."""
        found: dict[str, CommitStatus] = {}
        for status in self.of(repository, revision):
            found.setdefault(status.context, status)
        return found


def combined(states: Iterable[str]) -> str:
    """The one state that stands for several, as Gitea 1.24 and later combine them.

    Args:
        states: The latest state of each context.

    Returns:
        ``failure`` if one has failed, ``success`` if all are well, else ``pending``, also where there are none.
    """
    known = set(states)
    if known & {"error", "failure"}:
        return "failure"
    return "success" if known and "pending" not in known else "pending"


def in_a_line(text: str) -> str:
    """The last line of a text that is not blank, fit for a description: control characters escaped, not too long."""
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in last)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
