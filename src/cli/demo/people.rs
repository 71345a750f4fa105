//! The people in the three systems: they edit past the API, and look what their own system shows.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use twins::kit::{Edit, Hub};

use super::stage::Stage;

/// Plays people in the twins of a stage.
pub struct People<'a> {
    stage: &'a Stage,
}

impl<'a> People<'a> {
    /// For this stage.
    pub fn new(stage: &'a Stage) -> Self {
        Self { stage }
    }

    /// Ids of the processes in Tallyfy.
    pub fn processes(&self) -> Vec<String> {
        self.stage.tallyfy.hub.world().list("runs").into_iter().map(|(id, _)| id).collect()
    }

    /// How many processes carry this order number.
    pub fn processes_of(&self, order: &str) -> usize {
        let runs = self.stage.tallyfy.hub.world().list("runs");
        runs.into_iter().filter(|(_, run)| self.kickoff(run, "order-number") == order).count()
    }

    /// Somebody edits an order in the ERP.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn erp(&self, order: &str, patch: Value) -> Result<()> {
        let hub = &self.stage.erp.hub;
        let id = find(hub, "salesOrder", |record| text(record, "tranId") == order)?;
        person(hub, Edit::Patch { entity: "salesOrder".into(), id, patch })
    }

    /// Somebody enters an order in the ERP.
    ///
    /// # Errors
    /// When the twin refuses it.
    pub fn new_order(&self, order: &str, total: &str) -> Result<()> {
        let total: serde_json::Number = total.parse()?;
        let record = json!({ "tranId": order, "total": total, "shipDate": "2027-04-01", "memo": "Rush" });
        self.stage.erp.add_record("salesOrder", &record).map_err(anyhow::Error::msg)?;
        Ok(())
    }

    /// Somebody edits an opportunity in the CRM.
    ///
    /// # Errors
    /// When there is no such opportunity.
    pub fn crm(&self, order: &str, patch: Value) -> Result<()> {
        let hub = &self.stage.crm.hub;
        let id = find(hub, "Opportunity", |record| text(record, "ERP_Order__c") == order)?;
        person(hub, Edit::Patch { entity: "Opportunity".into(), id, patch })
    }

    /// Somebody edits a kick-off field of a process in Tallyfy.
    ///
    /// # Errors
    /// When there is no such process or field.
    pub fn tallyfy(&self, order: &str, field: &str, value: Value) -> Result<()> {
        let id = self.process(order)?;
        let field = self.stage.tallyfy.field_id("Order approval", field).context("no such kick-off field")?;
        person(
            &self.stage.tallyfy.hub,
            Edit::Patch { entity: "runs".into(), id, patch: json!({ "prerun": { field: value } }) },
        )
    }

    /// The management approves an order in its process.
    ///
    /// # Errors
    /// When there is no such task.
    pub fn approve(&self, order: &str) -> Result<()> {
        let run = self.process(order)?;
        let task = self.stage.tallyfy.task_id(&run, "Management approval").context("no such task")?;
        let with = json!({ "task_id": task, "is_approved": true });
        person(&self.stage.tallyfy.hub, Edit::Action { name: "complete-task".into(), with })
    }

    /// What the ERP, Tallyfy and the CRM show as ship date.
    pub fn ship_dates(&self, order: &str) -> [String; 3] {
        let day = |text: String| text.chars().take(10).collect();
        self.three(order, "shipDate", "ship-date", "CloseDate").map(day)
    }

    /// What they show as memo.
    pub fn memos(&self, order: &str) -> [String; 3] {
        self.three(order, "memo", "memo", "Description")
    }

    /// What ERP and CRM show as approval.
    pub fn approvals(&self, order: &str) -> [String; 2] {
        let [erp, _, crm] = self.three(order, "custbody_approval", "memo", "Approval__c");
        [erp, crm]
    }

    /// Checks that all three systems show this.
    ///
    /// # Errors
    /// When one shows something else.
    pub fn expect(
        &self,
        order: &str,
        what: &str,
        wanted: [&str; 3],
        shown: impl Fn(&Self, &str) -> [String; 3],
    ) -> Result<()> {
        let shown = shown(self, order);
        println!("  {what} of {order}: ERP {}, Tallyfy {}, CRM {}", shown[0], shown[1], shown[2]);
        ensure!(
            shown == wanted,
            "{what} of {order} should be {wanted:?} in ERP, Tallyfy and CRM, it is {shown:?}"
        );
        Ok(())
    }

    /// Checks that ERP and CRM show this.
    ///
    /// # Errors
    /// When one shows something else.
    pub fn expect_two(
        &self,
        order: &str,
        what: &str,
        wanted: [&str; 2],
        shown: impl Fn(&Self, &str) -> [String; 2],
    ) -> Result<()> {
        let shown = shown(self, order);
        println!("  {what} of {order}: ERP {}, CRM {}", shown[0], shown[1]);
        ensure!(shown == wanted, "{what} of {order} should be {wanted:?} in ERP and CRM, it is {shown:?}");
        Ok(())
    }

    fn three(&self, order: &str, erp: &str, tallyfy: &str, crm: &str) -> [String; 3] {
        let record = |hub: &Hub, entity: &str, key: &str| {
            hub.world()
                .list(entity)
                .into_iter()
                .map(|(_, record)| record)
                .find(|record| text(record, key) == order)
        };
        let in_erp = record(&self.stage.erp.hub, "salesOrder", "tranId").map(|r| text(&r, erp));
        let in_crm = record(&self.stage.crm.hub, "Opportunity", "ERP_Order__c").map(|r| text(&r, crm));
        let runs = self.stage.tallyfy.hub.world().list("runs");
        let run = runs.into_iter().map(|(_, run)| run).find(|run| self.kickoff(run, "order-number") == order);
        let in_tallyfy = run.map(|run| self.kickoff(&run, tallyfy));
        [in_erp, in_tallyfy, in_crm].map(Option::unwrap_or_default)
    }

    fn kickoff(&self, run: &Value, field: &str) -> String {
        let id = self.stage.tallyfy.field_id("Order approval", field).unwrap_or_default();
        run.get("prerun").map(|prerun| text(prerun, &id)).unwrap_or_default()
    }

    fn process(&self, order: &str) -> Result<String> {
        let runs = self.stage.tallyfy.hub.world().list("runs");
        runs.into_iter()
            .find(|(_, run)| self.kickoff(run, "order-number") == order)
            .map(|(id, _)| id)
            .with_context(|| format!("Tallyfy has no process for {order}"))
    }
}

fn person(hub: &Hub, edit: Edit) -> Result<()> {
    hub.person(edit).map(|_| ()).map_err(anyhow::Error::msg)
}

fn find(hub: &Hub, entity: &str, wanted: impl Fn(&Value) -> bool) -> Result<String> {
    hub.world()
        .list(entity)
        .into_iter()
        .find(|(_, record)| wanted(record))
        .map(|(id, _)| id)
        .with_context(|| format!("there is no such {entity}"))
}

/// A field as text, whatever JSON it is.
fn text(record: &Value, field: &str) -> String {
    match record.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}
