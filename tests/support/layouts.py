"""Made-up samples in the layouts of public data sets and payment providers, and what has to come of them."""

import csv
import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from uuid import UUID, uuid5

from schemas.mapping.ids import NAMESPACE

ROWS = 1000


@dataclass(frozen=True)
class Expected:
    """What a row becomes; None where the layout does not have it."""

    user_id: str
    amount: int
    txn_date: datetime
    currency: str
    status: str = "settled"
    merchant_id: str | None = None
    id: str | None = None


Row = dict[str, object]
Made = tuple[Row, Expected | None]


@dataclass(frozen=True)
class Layout:
    """A sample: `rows` as they are in the file, and what each becomes (None: it is left out)."""

    name: str
    rows: list[dict[str, str]]
    expected: list[Expected | None]

    def csv(self) -> bytes:
        """The file."""
        out = io.StringIO()
        writer = csv.DictWriter(out, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue().encode()


@cache
def layout(name: str, rows: int = ROWS) -> Layout:
    """The sample of a name: the same each time."""
    rng, make = random.Random(name), MAKERS[name]
    made = [make(rng, number) for number in range(rows)]
    texts = [{column: str(value) for column, value in row.items()} for row, _ in made]
    return Layout(name, texts, [expected for _, expected in made])


def uuid_of(text: str, space: str) -> str:
    """The documented rule, by the standard library."""
    return str(uuid5(uuid5(NAMESPACE, space), text))


def cents(rng: random.Random, most: int = 50_000) -> int:
    return round(min(rng.paretovariate(1.1) * 300, most * 100))


def money(hundredths: int) -> Decimal:
    return Decimal(hundredths).scaleb(-2)


def paysim(rng: random.Random, number: int) -> Made:
    step, user, amount = 1 + number // 50, f"C{rng.randrange(10**9, 10**9 + 100)}", cents(rng)
    kind = rng.choice(["PAYMENT", "TRANSFER", "CASH_OUT", "DEBIT", "CASH_IN"])
    to = f"{'M' if kind == 'PAYMENT' else 'C'}{rng.randrange(10**9, 2 * 10**9)}"
    before = cents(rng)
    row: Row = {
        "step": step,
        "type": kind,
        "amount": money(amount).normalize(),
        "nameOrig": user,
        "oldbalanceOrg": money(before),
        "newbalanceOrig": money(max(0, before - amount)),
        "nameDest": to,
        "oldbalanceDest": "0.0",
        "newbalanceDest": "0.0",
        "isFraud": int(rng.random() < 0.01),
        "isFlaggedFraud": 0,
    }
    row["amount"] = f"{row['amount']:f}"
    at = datetime(2017, 1, 1, tzinfo=UTC) + timedelta(hours=step)
    merchant = to if kind == "PAYMENT" else None
    return row, Expected(uuid_of(user, "paysim"), amount, at, "USD", merchant_id=merchant)


def banksim(rng: random.Random, number: int) -> Made:
    step, user, amount = number // 100, f"C{rng.randrange(10**9, 10**9 + 40)}", cents(rng)
    merchant = f"M{rng.randrange(10**9, 10**9 + 20)}"
    row: Row = {
        "step": step,
        "customer": f"'{user}'",
        "age": f"'{rng.randrange(7)}'",
        "gender": "'F'",
        "zipcodeOri": "'28007'",
        "merchant": f"'{merchant}'",
        "zipMerchant": "'28007'",
        "category": "'es_transportation'",
        "amount": money(amount),
        "fraud": int(rng.random() < 0.01),
    }
    at = datetime(2012, 11, 1, tzinfo=UTC) + timedelta(days=step)
    return row, Expected(uuid_of(user, "banksim"), amount, at, "EUR", merchant_id=merchant)


def ieee_cis(rng: random.Random, number: int) -> Made:
    seconds, thousandths = 86_400 + number * 31, rng.randrange(1, 9_000_000)
    exchanged = rng.random() < 0.2
    amount = Decimal(thousandths).scaleb(-3) if exchanged else money(cents(rng)).normalize()
    cards = {f"card{place}": value for place, value in enumerate([rng.randrange(1000, 1040), "321.0"], 1)}
    rest = {
        "card3": "150.0",
        "card4": "visa",
        "card5": "",
        "card6": "debit",
        "addr1": "315.0",
        "addr2": "87.0",
    }
    row: Row = {
        "TransactionID": 2_987_000 + number,
        "isFraud": 0,
        "TransactionDT": seconds,
        "TransactionAmt": f"{amount:f}",
        "ProductCD": rng.choice("WHCRS"),
        **cards,
        **rest,
        "P_emaildomain": "gmail.com",
        "R_emaildomain": "",
        "C1": "1.0",
        "D1": "14.0",
        "V1": "",
        "V339": "0.0",
    }
    hashed = {name: str(value).removesuffix(".0") for name, value in {**cards, **rest}.items()}
    text = "{" + ",".join(f'"{name}":"{cards.get(name, rest.get(name))}"' for name in sorted(hashed)) + "}"
    at = datetime(2017, 11, 30, tzinfo=UTC) + timedelta(seconds=seconds)
    rounded = int((amount * 100).quantize(Decimal(1), "ROUND_HALF_EVEN"))
    made = uuid_of(str(row["TransactionID"]), "ieee-cis")
    return row, Expected(uuid_of(text, "ieee-cis"), rounded, at, "USD", id=made)


def ulb_creditcard(rng: random.Random, number: int) -> Made:
    seconds, amount = 99_990 + number // 3, cents(rng)
    components = {f"V{place}": round(rng.gauss(0, 1), 12) for place in range(1, 29)}
    time = "1e+05" if seconds == 100_000 else str(seconds)  # as R writes it
    row: Row = {"Time": time, **components, "Amount": f"{money(amount).normalize():f}", "Class": 0}
    at = datetime(2013, 9, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return row, Expected(uuid_of("all cardholders", "ulb"), amount, at, "EUR")


def sparkov(rng: random.Random, number: int) -> Made:
    at = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(seconds=97 * number)
    card, made = str(3_527_213_246_100_000 + rng.randrange(60)), UUID(int=rng.getrandbits(128))
    merchant, amount = f"fraud_{rng.choice(['Rippin, Kub and Mann', 'Heller-Langosh'])}", cents(rng)
    row: Row = {
        "": number,
        "trans_date_trans_time": f"{at:%Y-%m-%d %H:%M:%S}",
        "cc_num": card,
        "merchant": merchant,
        "category": rng.choice(["misc_net", "grocery_pos"]),
        "amt": money(amount),
        "first": "Jennifer",
        "last": "Banks",
        "gender": "F",
        "street": "561 Perry Cove",
        "city": "Moravian Falls",
        "state": "NC",
        "zip": "28654",
        "lat": "36.0788",
        "long": "-81.1781",
        "city_pop": "3495",
        "job": "Psychologist",
        "dob": "1988-03-09",
        "trans_num": made.hex,
        "unix_time": int(at.timestamp()) - 220_924_800,
        "merch_lat": "36.011293",
        "merch_long": "-82.048315",
        "is_fraud": 0,
    }
    return row, Expected(uuid_of(card, "sparkov"), amount, at, "USD", merchant_id=merchant, id=str(made))


def altman_ibm(rng: random.Random, number: int) -> Made:
    at = datetime(2002, 9, 1, 6, 21, tzinfo=UTC) + timedelta(minutes=17 * number)
    user, amount, refund = str(rng.randrange(30)), cents(rng), rng.random() < 0.05
    merchant, error = (
        str(rng.randrange(-(2**63), 2**63)),
        "Insufficient Balance," if rng.random() < 0.05 else "",
    )
    row: Row = {
        "User": user,
        "Card": rng.randrange(3),
        "Year": at.year,
        "Month": at.month,
        "Day": at.day,
        "Time": f"{at:%H:%M}",
        "Amount": f"${'-' if refund else ''}{money(amount)}",
        "Use Chip": "Swipe Transaction",
        "Merchant Name": merchant,
        "Merchant City": "La Verne",
        "Merchant State": "CA",
        "Zip": "91750.0",
        "MCC": "5300",
        "Errors?": error,
        "Is Fraud?": "No",
    }
    status, user_id = "declined" if error else "settled", uuid_of(user, "altman-ibm")
    return row, None if refund else Expected(user_id, amount, at, "USD", status, merchant)


def handbook(rng: random.Random, number: int) -> Made:
    seconds, user, terminal = 31 + number * 80, str(rng.randrange(50)), str(rng.randrange(10_000))
    at, amount = datetime(2018, 4, 1, tzinfo=UTC) + timedelta(seconds=seconds), cents(rng)
    row: Row = {
        "TRANSACTION_ID": number,
        "TX_DATETIME": f"{at:%Y-%m-%d %H:%M:%S}",
        "CUSTOMER_ID": user,
        "TERMINAL_ID": terminal,
        "TX_AMOUNT": f"{money(amount).normalize():f}",
        "TX_TIME_SECONDS": seconds,
        "TX_TIME_DAYS": seconds // 86_400,
        "TX_FRAUD": 0,
        "TX_FRAUD_SCENARIO": 0,
    }
    made = uuid_of(str(number), "handbook")
    return row, Expected(uuid_of(user, "handbook"), amount, at, "EUR", merchant_id=terminal, id=made)


def stripe(rng: random.Random, number: int) -> Made:
    at, amount = datetime(2026, 3, 1, 8, tzinfo=UTC) + timedelta(minutes=7 * number), cents(rng)
    guest, currency = rng.random() < 0.1, rng.choice(["eur", "usd", "jpy"])
    amount -= amount % 100 if currency == "jpy" else 0
    user = f"guest{rng.randrange(20)}@example.com" if guest else f"cus_{rng.randrange(10**6, 10**6 + 40)}"
    status = rng.choice(["Paid"] * 8 + ["Failed", "Refunded", "Early Fraud Warning"])
    row: Row = {
        "id": f"ch_3{number:07}",
        "Created date (UTC)": f"{at:%Y-%m-%d %H:%M:%S}",
        "Amount": amount // 100 if currency == "jpy" else money(amount),
        "Amount Refunded": "0.00",
        "Currency": currency,
        "Captured": "true",
        "Converted Amount": money(amount),
        "Decline Reason": "",
        "Description": "Order 1042",
        "Fee": "0.59",
        "Mode": "Live",
        "Status": status,
        "Customer ID": "" if guest else user,
        "Customer Email": user if guest else "someone@example.com",
        "Card ID": f"pm_{number}",
        "Card Last4": "4242",
        "Card Brand": "Visa",
        "Card Issue Country": "IT",
    }
    words = {"Paid": "paid", "Failed": "failed", "Refunded": "refunded"}
    made = uuid_of(f"ch_3{number:07}", "stripe")
    user_id = uuid_of(user, "stripe")
    return row, Expected(user_id, amount, at, currency.upper(), words.get(status, status), id=made)


def adyen(rng: random.Random, number: int) -> Made:
    at, amount = datetime(2026, 3, 29, 0, 30, tzinfo=UTC) + timedelta(minutes=number), cents(rng)
    zone, hours = ("CEST", 2) if at >= datetime(2026, 3, 29, 1, tzinfo=UTC) else ("CET", 1)
    user, reference = f"shopper-{rng.randrange(40)}", f"{8_836_000_000_000_000 + number}"
    kind = rng.choice(["Authorised"] * 9 + ["Refused"])
    row: Row = {
        "Company Account": "Shops",
        "Merchant Account": "ShopsEU",
        "Psp Reference": reference,
        "Merchant Reference": f"order-{number}",
        "Payment Method": "visa",
        "Creation Date": f"{at + timedelta(hours=hours):%Y-%m-%d %H:%M:%S}",
        "TimeZone": zone,
        "Currency": "EUR",
        "Amount": money(amount),
        "Type": kind,
        "Risk Scoring": 10,
        "Shopper Interaction": "Ecommerce",
        "Shopper Name": "",
        "Shopper IP": "",
        "Shopper Country": "NL",
        "Issuer Name": "",
        "Acquirer Response": "APPROVED",
        "Shopper Email": "",
        "Shopper Reference": user,
    }
    status = {"Authorised": "authorised", "Refused": "declined"}[kind]
    made = uuid_of(reference, "adyen")
    return row, Expected(uuid_of(user, "adyen"), amount, at, "EUR", status, "ShopsEU", made)


def paypal(rng: random.Random, number: int) -> Made:
    at, amount = datetime(2026, 3, 1, 20, tzinfo=UTC) + timedelta(minutes=31 * number), cents(rng, 2_000_000)
    zone, hours = ("PDT", -7) if at >= datetime(2026, 3, 8, 10, tzinfo=UTC) else ("PST", -8)
    local, kind = at + timedelta(hours=hours), rng.choice(["paid"] * 7 + ["own", "bank"])
    user = "" if kind == "bank" else f"buyer{rng.randrange(40)}@example.com"
    gross = f"{'-' if kind == 'own' else ''}{money(amount):,}"
    row: Row = {
        "Date": f"{local:%m/%d/%Y}",
        "Time": f"{local:%H:%M:%S}",
        "TimeZone": zone,
        "Name": "A Buyer",
        "Type": "Express Checkout Payment",
        "Status": "Completed",
        "Currency": "USD",
        "Gross": gross,
        "Fee": "-0.59",
        "Net": gross,
        "From Email Address": user,
        "To Email Address": "shop@example.com",
        "Transaction ID": f"5KB56134TT{number:07}",
        "Item Title": "A thing",
        "Balance Impact": "Credit",
    }
    made = uuid_of(f"5KB56134TT{number:07}", "paypal")
    expected = Expected(uuid_of(user, "paypal"), amount, at, "USD", "completed", id=made)
    return row, expected if kind == "paid" else None


MAKERS: Mapping[str, Callable[[random.Random, int], Made]] = {
    "adyen": adyen,
    "altman-ibm": altman_ibm,
    "banksim": banksim,
    "handbook": handbook,
    "ieee-cis": ieee_cis,
    "paypal": paypal,
    "paysim": paysim,
    "sparkov": sparkov,
    "stripe": stripe,
    "ulb-creditcard": ulb_creditcard,
}
