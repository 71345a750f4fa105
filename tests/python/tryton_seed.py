"""Fills a fresh Tryton database with the least that a sale needs: a currency, a company, a chart of
accounts, parties and a product. Runs once per template database; servers then start from a copy.

Usage: tryton_seed.py DATABASE_NAME TRYTOND_CONF
Prints one JSON object with the ids that tests refer to.

It must not contain anything that a test asserts about: tests create the records that they look at.
"""

import json
import sys
from decimal import Decimal

from proteus import Model, Wizard, config


def record_by(model, **values):
    """The one record whose fields have these values."""
    found = Model.get(model).find([(name, "=", value) for name, value in values.items()])
    if len(found) != 1:
        raise SystemExit(f"expected one {model} with {values}, found {len(found)}")
    return found[0]


def create(model, **values):
    """Creates and saves one record."""
    record = Model.get(model)(**values)
    record.save()
    return record


def account_of_kind(kind, **values):
    """The first account whose type has that kind."""
    domain = [(f"type.{kind}", "=", True), ("closed", "!=", True)]
    domain += [(name, "=", value) for name, value in values.items()]
    return Model.get("account.account").find(domain, limit=1)[0]


def create_chart(company):
    """The generic chart of accounts, so that products and parties have accounts to point at."""
    template = Model.get("account.account.template").find([("parent", "=", None)])[0]
    wizard = Wizard("account.create_chart")
    wizard.execute("account")
    wizard.form.account_template = template
    wizard.form.company = company
    wizard.execute("create_account")
    wizard.form.account_receivable = account_of_kind("receivable", party_required=True)
    wizard.form.account_payable = account_of_kind("payable", party_required=True)
    wizard.form.category_account_revenue = account_of_kind("revenue")
    wizard.form.category_account_expense = account_of_kind("expense")
    wizard.execute("create_properties")


def main(database, configuration):
    session = config.set_trytond(f"sqlite:///{database}", user="admin", config_file=configuration)

    currency = create(
        "currency.currency", name="Euro", code="EUR", symbol="E", rounding=Decimal("0.01"), digits=2
    )
    company = create(
        "company.company", party=create("party.party", name="Tallysync Works"), currency=currency
    )
    user = Model.get("res.user")
    admin = user(1)
    admin.companies.append(company)
    admin.company = company
    admin.save()
    # Company-bound models refuse writes while the context of this session has no company.
    session._context = user.get_preferences(True, {})

    create_chart(company)
    customers = [
        create("party.party", name=name, code=f"C-{number}")
        for number, name in enumerate(["Acme", "Globex", "Initech"], start=1)
    ]
    for customer in customers:
        customer.addresses.new()
        customer.save()

    category = create(
        "product.category",
        name="Goods for sale",
        accounting=True,
        account_revenue=account_of_kind("revenue"),
    )
    template = create(
        "product.template",
        name="Widget",
        type="goods",
        salable=True,
        default_uom=record_by("product.uom", symbol="u"),
        list_price=Decimal("12.5000"),
        account_category=category,
    )
    template.products[0].cost_price = Decimal("7.0000")
    template.save()

    print(
        json.dumps(
            {
                "company": company.id,
                "currency": currency.id,
                "customers": [customer.id for customer in customers],
                "product": template.products[0].id,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
