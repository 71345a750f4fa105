"""Drives simple-salesforce, unchanged, against a Salesforce twin.

Usage: python salesforce_client.py BASE_URL TOKEN      (pip install simple-salesforce==1.12.10)

The twin must be served over HTTPS, with REQUESTS_CA_BUNDLE naming its authority, have the objects of
SalesforceTwin::with_opportunities and pages of 3 rows. Exits with 1 and a list of mismatches when the client does
not see what it should. Must not know anything about the twin but its address.
"""

import sys
from datetime import datetime, timedelta, timezone

from simple_salesforce import Salesforce, format_soql
from simple_salesforce.exceptions import (
    SalesforceError,
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)


class Story:
    def __init__(self, base_url, token):
        self.instance = base_url.split("://", 1)[1].rstrip("/")
        self.client = Salesforce(instance=self.instance, session_id=token)
        self.mismatches = []

    def expect(self, what, seen, wanted):
        if seen != wanted:
            self.mismatches.append(f"{what}: saw {seen!r}, wanted {wanted!r}")

    def refused(self, what, kind, code, call):
        try:
            call()
        except SalesforceError as error:
            self.expect(f"{what}: the exception", type(error), kind)
            if code is not None:
                self.expect(f"{what}: the code", error.content[0]["errorCode"], code)
            return
        self.mismatches.append(f"{what}: was accepted, wanted {code}")

    def descriptions(self):
        names = [row["name"] for row in self.client.describe()["sobjects"]]
        self.expect("the objects", {"Account", "Opportunity", "Case"} <= set(names), True)
        fields = {field["name"]: field for field in self.client.Opportunity.describe()["fields"]}
        self.expect("the amount's type", fields["Amount"]["type"], "currency")
        self.expect("stamps are closed", fields["SystemModstamp"]["updateable"], False)
        metadata = self.client.Opportunity.metadata()
        self.expect("the metadata", metadata["objectDescribe"]["name"], "Opportunity")
        self.expect("the quota", self.client.limits()["DailyApiRequests"]["Max"] > 0, True)
        self.expect("the usage header", self.client.api_usage["api-usage"].used > 0, True)

    def records(self):
        deals = self.client.Opportunity
        ids = []
        for number in range(8):
            made = deals.create({
                "Name": f"O'Neil & Søn {number}", "CloseDate": "2026-02-01", "StageName": "Prospecting",
                "Amount": 100.5 + number, "Tallyfy_Id__c": f"run-{number}",
            })
            self.expect("a create", (made["success"], made["errors"]), (True, []))
            ids.append(made["id"])
        self.expect("ids", all(len(row) == 18 and row.startswith("006") for row in ids), True)
        self.expect("an update", deals.update(ids[0], {"Description": "changed", "Amount": None}), 204)
        row = deals.get(ids[0])
        self.expect("the updated row", (row["Description"], row["Amount"], row["attributes"]["type"]),
                    ("changed", None, "Opportunity"))
        self.expect("by external id", deals.get_by_custom_id("Tallyfy_Id__c", "run-3")["Id"], ids[3])
        self.expect("an upsert that updates", deals.upsert("Tallyfy_Id__c/run-3", {"Description": "3"}), 200)
        self.expect("an upsert that creates", deals.upsert(
            "Tallyfy_Id__c/run-new", {"Name": "New", "CloseDate": "2026-02-01", "StageName": "Closed Won"}), 201)
        return ids

    def queries(self, ids):
        everything = self.client.query_all("SELECT Id, Name, Amount FROM Opportunity ORDER BY Id")
        self.expect("rows over several pages", len(everything["records"]), 9)
        self.expect("the order", [row["Id"] for row in everything["records"]][:8], ids)
        first = self.client.query("SELECT Id FROM Opportunity")
        self.expect("the first page", (first["totalSize"], first["done"], len(first["records"])), (9, False, 3))
        more = self.client.query_more(first["nextRecordsUrl"], identifier_is_url=True)
        self.expect("the second page", len(more["records"]), 3)
        found = self.client.query(format_soql(
            "SELECT Id FROM Opportunity WHERE Name = {} AND Amount > {} AND SystemModstamp > {}",
            "O'Neil & Søn 5", 100, datetime.now(timezone.utc) - timedelta(hours=1)))
        self.expect("a query with escapes", [row["Id"] for row in found["records"]], [ids[5]])
        counted = self.client.query("SELECT COUNT() FROM Opportunity WHERE StageName = 'Closed Won'")
        self.expect("a count", counted["totalSize"], 1)

    def deletions(self, ids):
        deals = self.client.Opportunity
        self.expect("a delete", deals.delete(ids[7]), 204)
        start, end = (datetime.now(timezone.utc) + timedelta(minutes=minutes) for minutes in (-60, 60))
        deleted = deals.deleted(start, end)
        self.expect("the deleted", [row["id"] for row in deleted["deletedRecords"]], [ids[7]])
        updated = deals.updated(start, end)
        self.expect("the updated", (len(updated["ids"]), ids[7] in updated["ids"]), (8, False))
        self.expect("how far the feed goes", "latestDateCovered" in updated, True)
        gone = self.client.query_all("SELECT Id FROM Opportunity WHERE IsDeleted = true", include_deleted=True)
        self.expect("the recycle bin", [row["Id"] for row in gone["records"]], [ids[7]])
        self.refused("a deleted row", SalesforceResourceNotFound, "ENTITY_IS_DELETED", lambda: deals.get(ids[7]))

    def refusals(self, ids):
        deals = self.client.Opportunity
        self.refused("a bad choice", SalesforceMalformedRequest, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                     lambda: deals.update(ids[0], {"Approval__c": "maybe"}))
        self.refused("a duplicate", SalesforceMalformedRequest, "DUPLICATE_VALUE",
                     lambda: deals.update(ids[0], {"Tallyfy_Id__c": "run-1"}))
        self.refused("a missing name", SalesforceMalformedRequest, "REQUIRED_FIELD_MISSING", lambda: deals.create({}))
        self.refused("a bad query", SalesforceMalformedRequest, "MALFORMED_QUERY", lambda: self.client.query("SELECT"))
        self.refused("an unknown field", SalesforceMalformedRequest, "INVALID_FIELD",
                     lambda: self.client.query("SELECT Nothing FROM Opportunity"))
        self.refused("a stale edit", SalesforceGeneralError, "PRECONDITION_FAILED", lambda: deals.update(
            ids[0], {"Name": "Late"}, headers={"If-Unmodified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}))
        for name in ("One", "Two"):
            self.client.Account.create({"Name": name, "ERP_Customer__c": "C-1"})
        self.refused("an ambiguous upsert", SalesforceMoreThanOneRecord, None,
                     lambda: self.client.Account.upsert("ERP_Customer__c/C-1", {"Name": "Three"}))
        stranger = Salesforce(instance=self.instance, session_id="stranger")
        self.refused("a bad session", SalesforceExpiredSession, "INVALID_SESSION_ID", stranger.limits)


def main():
    story = Story(*sys.argv[1:3])
    story.descriptions()
    ids = story.records()
    story.queries(ids)
    story.deletions(ids)
    story.refusals(ids)
    for mismatch in story.mismatches:
        print(mismatch)
    if story.mismatches:
        sys.exit(1)
    print("the client agrees with the twin")


if __name__ == "__main__":
    main()
