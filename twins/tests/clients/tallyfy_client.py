"""Drives Tallyfy's published Python client, unchanged, against a Tallyfy twin.

Usage: python tallyfy_client.py BASE_URL TOKEN ORG      (pip install tallyfy==3.1.0)

The twin must have the template "Order approval" (TallyfyTwin::with_order_approval). Exits with 1 and a list of
mismatches when the client does not see what it should. Must not know anything about the twin but its address.
"""

import sys

from tallyfy import TallyfySDK
from tallyfy.models import TallyfyError

TEMPLATE = "Order approval"


class Story:
    def __init__(self, base_url, token, org):
        self.sdk = TallyfySDK(api_key=token, base_url=base_url, timeout=10, max_retries=1, retry_delay=0.05)
        self.org = org
        self.mismatches = []

    def expect(self, what, seen, wanted):
        if seen != wanted:
            self.mismatches.append(f"{what}: saw {seen!r}, wanted {wanted!r}")

    def refused(self, what, status, call):
        try:
            call()
        except TallyfyError as error:
            self.expect(what, error.status_code, status)
            return error
        self.mismatches.append(f"{what}: was accepted, wanted {status}")
        return None

    def people(self):
        me = self.sdk.get_current_user_info(self.org)
        self.expect("the caller's email", me.email, "kim@corp.example")
        self.expect("user ids are integers", isinstance(me.id, int), True)
        self.expect("the organisation", self.sdk.get_organization(self.org).id, self.org)
        organizations = self.sdk.get_current_user_organizations()
        self.expect("organisations", [row.id for row in organizations.data], [self.org])
        self.expect("users", [user.id for user in users_of(self.sdk.get_organization_users(self.org))], [me.id])
        self.expect("one user", self.sdk.get_user(self.org, me.id).email, me.email)
        guest = self.sdk.create_guest(self.org, "pat@buyer.example", "Pat", "Roe")
        self.expect("the new guest", guest.email, "pat@buyer.example")
        self.expect("the guest by email", self.sdk.get_guest(self.org, "pat@buyer.example").email, "pat@buyer.example")
        group = self.sdk.create_group(self.org, "Buyers", "People who buy", members=[me.id])
        self.expect("the group", self.sdk.get_group(self.org, group.id).name, "Buyers")

    def templates(self):
        listed = self.sdk.get_all_templates(self.org)
        self.expect("templates", [row.title for row in listed.data], [TEMPLATE])
        template = self.sdk.get_template(self.org, template_id=listed.data[0].id)
        self.expect("the template", template.title, TEMPLATE)
        steps = self.sdk.get_template_steps(self.org, template.id)
        self.expect("steps", [step.title for step in steps], ["Finance review", "Management approval"])
        self.expect("step types", [step.step_type for step in steps], ["task", "approval"])
        self.expect("the name finds the id", self.sdk.search_templates_by_name(self.org, TEMPLATE), template.id)
        return template

    def launch(self, template):
        fields = {field.alias: field.id for field in template.prerun}
        refusal = self.refused(
            "a launch without the order number", 422,
            lambda: self.sdk.launch_process(self.org, template.id, "Order without number"),
        )
        if refusal is not None:
            self.expect("the message names the label", "Order number is required" in str(refusal.response_data), True)
        runs = []
        for number in range(12):
            runs.append(self.sdk.launch_process(
                self.org, template.id, f"Order SO-{number}",
                prerun={fields["order-number"]: f"SO-{number}", fields["amount"]: "12000.50",
                        "0" * 32: "vanishes"},
            ))
        run = runs[0]
        self.expect("status after launch", run.status, "active")
        self.expect("kick-off values", run.prerun, {fields["order-number"]: "SO-0", fields["amount"]: "12000.50"})
        self.expect("the template of the run", run.checklist_id, template.id)
        return runs, fields

    def lists(self, template, runs):
        first = self.sdk.get_organization_runs(self.org, per_page=5, page=1)
        self.expect("rows of the first page", [run.name for run in first.data],
                    [f"Order SO-{number}" for number in (11, 10, 9, 8, 7)])
        self.expect("pages", (first.meta.total, first.meta.total_pages, first.meta.current_page), (12, 3, 1))
        last = self.sdk.get_organization_runs(self.org, per_page=5, page=3)
        self.expect("rows of the last page", [run.id for run in last.data], [runs[1].id, runs[0].id])
        by_name = self.sdk.get_organization_runs(self.org, per_page=3, sort="name", checklist_id=template.id)
        self.expect("sorted by name", [run.name for run in by_name.data], ["Order SO-0", "Order SO-1", "Order SO-10"])
        self.expect("found by name", self.sdk.search_processes_by_name(self.org, "Order SO-7"), runs[7].id)

    def work(self, run):
        tasks = self.sdk.get_tasks_for_process(self.org, process_id=run.id)
        rows = getattr(tasks, "data", tasks)
        review, approval = rows
        self.expect("tasks", [task.title for task in rows], ["Finance review", "Management approval"])
        self.expect("owners", review.owners.users, [10013])
        changed = self.sdk.update_task(
            self.org, run.id, review.id, title="Finance review (urgent)", deadline="2031-05-05 17:00:00",
            owners={"users": [10013], "guests": ["pat@buyer.example"], "groups": []},
        )
        self.expect("the new title", changed.title, "Finance review (urgent)")
        self.expect("the new deadline", changed.deadline, "2031-05-05T17:00:00.000Z")
        self.expect("the new guest owner", changed.owners.guests, ["pat@buyer.example"])

        comment = self.sdk.add_task_comment(self.org, review.id, "Looks fine")
        comments = self.sdk.get_task_comments(self.org, run.id, review.id)
        self.expect("comments", [row.content for row in comments], ["Looks fine"])
        self.sdk.update_task_comment(self.org, review.id, comment.id, "Looks good")
        self.sdk.delete_task_comment(self.org, review.id, comment.id)
        self.expect("no comments", self.sdk.get_task_comments(self.org, run.id, review.id), [])

        issue = self.sdk.report_task_issue(self.org, review.id, "Amount is wrong")
        self.refused("completing over an open issue", 422,
                     lambda: self.sdk.complete_task(self.org, run.id, review.id))
        # The shortcut on the SDK object lacks the thread id that its own manager needs, so the manager is asked.
        self.sdk.threads.resolve_task_issues(self.org, review.id, issue.id)
        done = self.sdk.complete_task(self.org, run.id, review.id)
        self.expect("completed", (done.status, done.completed_at is not None), ("completed", True))
        self.refused("changing a completed task", 422,
                     lambda: self.sdk.update_task(self.org, run.id, review.id, title="Too late"))
        reopened = self.sdk.reopen_task(self.org, run.id, review.id)
        self.expect("reopened", reopened.completed_at, None)
        self.sdk.complete_task(self.org, run.id, review.id)
        self.refused("an approval without a verdict", 422,
                     lambda: self.sdk.complete_task(self.org, run.id, approval.id))
        approved = self.sdk.complete_task(self.org, run.id, approval.id, is_approved=True)
        self.expect("the verdict", approved.is_approved, True)
        finished = self.sdk.get_process(self.org, run.id, with_="tasks,tags")
        self.expect("the finished run", (finished.status, finished.progress.percent), ("complete", 100))

    def runs(self, run):
        renamed = self.sdk.update_process(self.org, run.id, name="Order SO-1 / ACME")
        self.expect("the new name", renamed.name, "Order SO-1 / ACME")
        tag = self.sdk.create_tag(self.org, "imported", "#336699")
        self.sdk.tag_process(self.org, run.id, tag.id)
        tagged = self.sdk.get_process(self.org, run.id, with_="tags")
        self.expect("tags of the run", [row["title"] for row in tagged.tags["data"]], ["imported"])
        self.sdk.untag_process(self.org, run.id, tag.id)
        self.sdk.archive_process(self.org, run.id)
        listed = self.sdk.get_organization_runs(self.org, per_page=100)
        self.expect("an archived run is not listed", run.id in [row.id for row in listed.data], False)
        archived = self.sdk.get_organization_runs(self.org, per_page=100, archived="only")
        self.expect("archived runs", [(row.id, row.status) for row in archived.data], [(run.id, "archived")])
        self.sdk.reactivate_process(self.org, run.id)
        self.expect("restored", self.sdk.get_process(self.org, run.id).status, "active")

    def one_off(self):
        task = self.sdk.create_task(self.org, "Call the buyer", "2031-05-05 17:00:00", user_ids=[10013])
        self.expect("a one-off task", (task.title, task.is_oneoff_task), ("Call the buyer", True))
        self.expect("the task alone", self.sdk.get_standalone_task(self.org, task.id).title, "Call the buyer")
        done = self.sdk.complete_standalone_task(self.org, task.id)
        self.expect("the one-off task completed", done.status, "completed")
        self.refused("a task that is not there", 404, lambda: self.sdk.get_standalone_task(self.org, "f" * 32))

    def tell(self):
        self.people()
        template = self.templates()
        runs, _ = self.launch(template)
        self.lists(template, runs)
        self.work(runs[0])
        self.runs(runs[1])
        self.one_off()
        return self.mismatches


def users_of(listed):
    return getattr(listed, "data", listed)


def main(arguments):
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    mismatches = Story(*arguments).tell()
    for mismatch in mismatches:
        print(mismatch, file=sys.stderr)
    print("the client agrees with the twin" if not mismatches else f"{len(mismatches)} mismatches")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
