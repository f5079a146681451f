"""The range query as the old system served it: FastAPI, SQLModel, one process; run by uvicorn."""
# mypy: disable-error-code="import-not-found,misc,untyped-decorator,unused-ignore,call-arg"

import os
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Query
from sqlalchemy import JSON, Column, DateTime, Index, Numeric, and_, or_
from sqlmodel import Field, Session, SQLModel, create_engine, select


class Transaction(SQLModel, table=True):
    """The old table, with the old index."""

    __tablename__ = "old_transactions"
    __table_args__ = (Index("old_transactions_range", "user_id", "txn_date", "amount", "id"),)

    id: UUID = Field(primary_key=True)
    user_id: UUID
    amount: Decimal = Field(sa_column=Column(Numeric(20, 2), nullable=False))
    currency: str = Field(max_length=3)
    txn_date: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    status: str = Field(max_length=32)
    meta_data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class Page(SQLModel):
    """Rows, and the last one's id."""

    transactions: list[Transaction]
    cursor: str


engine = create_engine(os.environ["PEER_POSTGRES"], pool_size=10)
app = FastAPI()


def session() -> Iterator[Session]:
    """One a request."""
    with Session(engine) as one:
        yield one


@app.get("/transactions", response_model=Page)  # noqa: FAST001  # as the old system spelled it
def transactions(  # noqa: PLR0917  # they are query parameters
    session: Annotated[Session, Depends(session)],
    user_id: UUID,
    from_date: datetime,
    to_date: datetime,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page:
    """A page, newest first, ties by id."""
    query = (
        select(Transaction)
        .where(Transaction.user_id == user_id)
        .where(Transaction.txn_date >= from_date, Transaction.txn_date <= to_date)
    )
    last = session.get(Transaction, cursor) if cursor else None
    if last:
        earlier = Transaction.txn_date < last.txn_date
        query = query.where(
            or_(earlier, and_(Transaction.txn_date == last.txn_date, Transaction.id > last.id))
        )
    rows = session.exec(query.order_by(Transaction.txn_date.desc(), Transaction.id).limit(limit)).all()  # type: ignore[attr-defined]
    return Page(transactions=list(rows), cursor=str(rows[-1].id) if rows else "")
