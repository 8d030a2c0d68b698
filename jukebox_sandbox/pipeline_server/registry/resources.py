"""What the registry keeps: registered models, their versions, the artifacts of these, in one table."""

import base64
import binascii
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Select, String, Text, UniqueConstraint, and_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from jukebox_sandbox.pipeline_server.tables import Base

REGISTERED_MODEL, MODEL_VERSION = "registered model", "model version"
MODEL_ARTIFACT, DOC_ARTIFACT = "model artifact", "doc artifact"
ARTIFACTS = (MODEL_ARTIFACT, DOC_ARTIFACT)
NAME_LIMIT = 255
"""Characters of a name and the parent's id before it."""


def milliseconds() -> int:
    """This moment, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Resource(Base):
    """One resource of the registry.

    Attributes:
        name: As the real server's database holds it: of a version or an artifact ``<id of its parent>:<name>``. Case
            makes no difference, as in MySQL's own collation.
        content: The other fields of its message, as the API spells them.
    """

    __tablename__ = "registry_resources"
    __table_args__ = (UniqueConstraint("kind", "name"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(32))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("registry_resources.id"), index=True)
    name: Mapped[str] = mapped_column(Text(collation="NOCASE"))
    external_id: Mapped[str | None] = mapped_column(Text, unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger, default=milliseconds)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=milliseconds)
    content: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    @property
    def own_name(self) -> str:
        """The name that the client gave."""
        return self.name if self.kind == REGISTERED_MODEL else self.name.partition(":")[2]


class Refused(Exception):
    """An answer other than 200; the message is the real server's.

    Args:
        status: The HTTP status.
        message: What is wrong.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_id(text: str, what: str) -> int:
    """A resource's id; 400 for anything but a number of 32 bits."""
    try:
        return read_integer(text)
    except ValueError as error:
        raise Refused(400, f"invalid {what} ID: {error}: bad request") from None


def read_integer(text: str) -> int:
    """An integer of 32 bits, as Go reads it; its words for what is none are the error's."""
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(text) > 4000 or not -(2**31) <= int(text) < 2**31:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def get(session: Session, kinds: tuple[str, ...], number: str) -> Resource:
    """A resource by its id; 404 where there is none of these kinds."""
    what = "artifact" if kinds == ARTIFACTS else kinds[0]
    found = session.get(Resource, read_id(number, what))
    if found is None or found.kind not in kinds:
        raise Refused(404, f"no {what} found for id {number}: not found")
    return found


def create(session: Session, kind: str, parent: Resource | None, name: str, content: dict[str, Any]) -> Resource:
    """Keep a new resource; 409 where its kind has that name already, or anything its external id."""
    prefix = "" if kind == REGISTERED_MODEL else f"{parent.id if parent else uuid.uuid4()}:"
    if len(prefix + name) > NAME_LIMIT:
        raise Refused(400, f"the name of a {kind} is longer than {NAME_LIMIT - len(prefix)} characters: bad request")
    made = Resource(
        kind=kind,
        parent_id=parent.id if parent else None,
        name=prefix + name,
        external_id=content.pop("externalId", None),
        content=content,
    )
    session.add(made)
    try:
        session.flush()
    except IntegrityError:
        raise Refused(409, f"{kind} with name {name} already exists: conflict") from None
    return made


def change(session: Session, kinds: tuple[str, ...], number: str, content: dict[str, Any]) -> Resource:
    """Change the fields that are given; the others stay."""
    # The write comes first and takes the database's lock, so what is read after it stays true.
    session.execute(
        update(Resource).where(Resource.id == read_id(number, kinds[0])).values(updated_at=milliseconds()),
        execution_options={"synchronize_session": False},
    )
    found = get(session, kinds, number)
    external_id = content.pop("externalId", found.external_id)
    found.external_id, found.content = external_id, found.content | content
    try:
        session.flush()
    except IntegrityError:
        raise Refused(409, f"{found.kind} with externalId {external_id} already exists: conflict") from None
    return found


def find(session: Session, kinds: tuple[str, ...], name: str, parent: str, external_id: str) -> Resource:
    """The one resource that a name or an external id names.

    The name is a pattern of SQL's LIKE, as in the real server: ``_`` is any character, ``%`` any characters.

    Args:
        session: The database.
        kinds: The kinds to look among.
        name: The name, empty for any.
        parent: The parent's id, empty for any.
        external_id: Counts where no name is given.

    Returns:
        The resource.

    Raises:
        Refused: 404 if there is none, or more than one.
    """
    what = "artifact" if kinds == ARTIFACTS else kinds[0]
    top = kinds == (REGISTERED_MODEL,)
    if not external_id and (not name or not (top or parent)):
        either = "name" if top else "(name and parentResourceId),"
        raise Refused(400, f"invalid parameters call, supply either {either} or externalId: bad request")
    chosen = select(Resource).where(Resource.kind.in_(kinds))
    number = read_id(parent, "parent resource") if parent and not top else None
    if number is not None:
        chosen = chosen.where(Resource.parent_id == number)
    if name:
        prefix = "" if top else f"{number}:" if what == MODEL_VERSION and number is not None else "%:"
        chosen = chosen.where(Resource.name.like(prefix + name[:1000], escape="\\"))
    else:
        chosen = chosen.where(Resource.external_id == external_id)
    found = session.scalars(chosen.limit(2)).all()
    if len(found) != 1:
        asked = f"name={name}, " + ("" if top else f"parentResourceId={parent}, ") + f"externalId={external_id}"
        raise Refused(404, f"{'multiple' if found else 'no'} {what}s found for {asked}: not found")
    return found[0]


@dataclass
class Page:
    """One page of a list.

    Attributes:
        items: What is on it.
        token: The next page's; empty on the last one.
        size: How many it may hold; 0 means all.
    """

    items: list[Resource]
    token: str
    size: int


def page(session: Session, chosen: Select[Resource], query: dict[str, str]) -> Page:
    """One page of what was chosen, by the list options of the API.

    Args:
        session: The database.
        chosen: The resources.
        query: ``pageSize``, ``orderBy``, ``sortOrder``, ``nextPageToken``; what is unknown sorts by id, ascending.

    Returns:
        The page.

    Raises:
        Refused: 400 if the size is not a number, or the token not one of ours.
    """
    columns = {"CREATE_TIME": Resource.created_at, "LAST_UPDATE_TIME": Resource.updated_at}
    column = columns.get(query.get("orderBy", ""), Resource.id)
    descending = query.get("sortOrder") == "DESC"
    try:
        size = read_integer(query.get("pageSize") or "0")
    except ValueError as error:
        raise Refused(400, f"invalid numeric string: {error}: bad request") from None
    if token := query.get("nextPageToken"):
        number, value = read_token(token)
        if descending:
            after = or_(column < value, and_(column == value, Resource.id < number))
        else:
            after = or_(column > value, and_(column == value, Resource.id > number))
        chosen = chosen.where(after)
    order = (column.desc(), Resource.id.desc()) if descending else (column, Resource.id)
    chosen = chosen.order_by(*order)
    found = list(session.scalars(chosen.limit(size + 1) if size > 0 else chosen))
    following = ""
    if 0 < size < len(found):
        found = found[:size]
        following = base64.b64encode(f"{found[-1].id}:{getattr(found[-1], column.key)}".encode()).decode()
    return Page(found, following, max(size, 0))


def read_token(token: str) -> tuple[int, int]:
    """The id and the value behind which the next page begins."""
    try:
        number, _, value = base64.b64decode(token, validate=True).decode().partition(":")
        return read_integer(number), int(value) if re.fullmatch("[0-9]{1,18}", value) else 0
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"invalid nextPageToken: {error}: bad request") from None
