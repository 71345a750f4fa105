"""Drives the published Python client for NetSuite, unchanged, against a NetSuite twin.

Usage: python netsuite_client.py HOST:PORT ACCOUNT CONSUMER_KEY CONSUMER_SECRET TOKEN_ID TOKEN_SECRET
       (pip install netsuite==0.12.0; SSL_CERT_FILE must name the twin's authority)

The twin must have customers and sales orders (NetsuiteTwin::with_sales_orders). Exits with 1 and a list of
mismatches when the client does not see what it should. Must not know anything about the twin but its address.
"""

import asyncio
import json
import sys

from netsuite import Config, NetSuite, TokenAuth
from netsuite.exceptions import NetsuiteAPIRequestError


class Story:
    def __init__(self, host, account, consumer_key, consumer_secret, token_id, token_secret):
        self.host = host
        self.account = account
        self.secrets = {
            "consumer_key": consumer_key,
            "consumer_secret": consumer_secret,
            "token_id": token_id,
            "token_secret": token_secret,
        }
        self.mismatches = []
        self.api = self.client()

    def client(self, **other):
        auth = TokenAuth(**{**self.secrets, **other})
        api = NetSuite(Config(account=self.account, auth=auth)).rest_api
        # The client makes the host of the account's name; a cached property is the place to say another.
        api.hostname = self.host
        return api

    def expect(self, what, seen, wanted):
        if seen != wanted:
            self.mismatches.append(f"{what}: saw {seen!r}, wanted {wanted!r}")

    async def refused(self, what, status, code, call):
        try:
            await call
        except NetsuiteAPIRequestError as error:
            body = json.loads(error.response_text)
            self.expect(what, (error.status_code, body["o:errorDetails"][0]["o:errorCode"]), (status, code))
            return
        self.mismatches.append(f"{what}: was accepted, wanted {status} {code}")

    async def records(self):
        new = {"entityId": "C-1", "companyName": "Ärger & Söhne", "email": "a+b@buyer.example"}
        made = await self.api.request("POST", "/record/v1/customer", json=new)
        self.expect("a new customer", (made.status_code, made.text), (204, ""))
        path = made.headers["location"].split("/services/rest")[1]
        self.customer = path.rsplit("/", 1)[1]
        read = await self.api.get(path)
        self.expect("the customer's name", read["companyName"], new["companyName"])
        self.expect("a box is a boolean", read["isInactive"], False)
        self.expect("a change answers nothing", await self.api.patch(path, json={"phone": "+49 30 1"}), None)
        self.expect("the change is there", (await self.api.get(path))["phone"], "+49 30 1")
        order = {"tranId": "SO-1", "total": 1250.5, "shipDate": "2026-12-24", "entity": {"id": self.customer}}
        await self.api.put("/record/v1/salesOrder/eid:tly-1", json=order)
        await self.api.put("/record/v1/salesOrder/eid:tly-1", json={"memo": "it's new"})
        read = await self.api.get("/record/v1/salesOrder/eid:tly-1")
        self.expect("the upsert changed one record", (read["tranId"], read["memo"]), ("SO-1", "it's new"))
        self.expect("a reference", read["entity"], {"id": self.customer, "refName": new["companyName"]})
        listed = await self.api.get("/record/v1/salesOrder", params={"q": 'tranId START_WITH "SO"', "limit": 5})
        self.expect("the list", [row["id"] for row in listed["items"]], [read["id"]])

    async def queries(self):
        query = (
            "SELECT t.id, t.tranid, t.total, t.memo, TO_CHAR(t.shipdate, 'YYYY-MM-DD') AS ship "
            "FROM transaction t WHERE t.type = 'SalesOrd' AND t.memo = 'it''s new' ORDER BY t.id"
        )
        found = await self.api.suiteql(query)
        rows = [{name: row[name] for name in ("tranid", "total", "memo", "ship")} for row in found["items"]]
        wanted = [{"tranid": "SO-1", "total": "1250.5", "memo": "it's new", "ship": "2026-12-24"}]
        self.expect("the rows", rows, wanted)
        self.expect("the page", (found["count"], found["hasMore"], found["totalResults"]), (1, False, 1))
        none = await self.api.suiteql("SELECT id FROM customer", limit=10, offset=10)
        self.expect("a page past the end", (none["items"], none["totalResults"]), ([], 1))

    async def refusals(self):
        await self.refused("no table", 400, "INVALID_PARAMETER", self.api.suiteql("SELECT id FROM nowhere"))
        await self.refused("no record", 404, "NONEXISTENT_ID", self.api.get("/record/v1/customer/999999"))
        again = self.api.post("/record/v1/customer", json={"entityId": "C-1"})
        await self.refused("a name twice", 400, "DUP_ENTITY", again)
        liar = self.client(token_secret="wrong")
        await self.refused("a wrong secret", 401, "INVALID_LOGIN_ATTEMPT", liar.get("/record/v1/customer"))

    async def deletions(self):
        await self.api.delete("/record/v1/salesOrder/eid:tly-1")
        gone = await self.api.suiteql("SELECT recordid FROM deletedrecord WHERE recordtypeid = 'salesorder'")
        self.expect("what was deleted", gone["count"], 1)

    async def tell(self):
        await self.records()
        await self.queries()
        await self.refusals()
        await self.deletions()


def main():
    story = Story(*sys.argv[1:7])
    asyncio.run(story.tell())
    for mismatch in story.mismatches:
        print(mismatch)
    if story.mismatches:
        sys.exit(1)
    print("the client agrees with the twin")


if __name__ == "__main__":
    main()
