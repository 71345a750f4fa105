//! The same mishaps over NetSuite and Salesforce, whose creates and conditional writes work otherwise.

use twins::kit::{Effect, Fault, RetryAfter, When};

use super::{attempt, fault, struck};
use crate::support::world::{Setup, World};
use tallysync::store::read::View;

fn mishaps() -> Vec<Effect> {
    let status = |status, when| Effect::Status { status, when, body: None };
    vec![
        Effect::DropBefore,
        Effect::DropAfter,
        Effect::BreakBody,
        Effect::TruncateBody,
        Effect::LoginPage,
        Effect::ApplyLate { after_requests: 0 },
        status(500, When::After),
        status(503, When::Before),
        Effect::Throttle { retry_after: RetryAfter::Absent },
        Effect::ExpireToken,
    ]
}

async fn until_settled(world: &World) {
    for _ in 0..8 {
        attempt(world, false).await;
        if world.rows(View::OpenWrites).await.is_empty() {
            return;
        }
        world.later(3600);
    }
    panic!("writes stay open: {:#?}", world.rows(View::OpenWrites).await);
}

#[tokio::test]
async fn a_create_in_salesforce_with_any_mishap_makes_one_record() {
    for effect in mishaps() {
        let mut world = World::shipped(Setup::default()).await;
        world.plan_and_accept().await;
        fault(&world, "crm", Fault::on("PATCH", "/sobjects/Opportunity", effect.clone()));
        world.add("erp", "SO-1", "12500", "hello");
        until_settled(&world).await;
        assert_eq!(struck(&world, "crm"), 1, "{effect:?}");
        assert_eq!(world.ids("crm", "SO-1").len(), 1, "{effect:?}");
        world.expect("SO-1", "memo", "hello");
        world.assert_converged().await;
    }
}

#[tokio::test]
async fn a_create_in_netsuite_with_any_mishap_makes_one_record() {
    for effect in mishaps() {
        let setup = Setup::default().without_creates().side("erp", "create = [\"tallyfy\"]");
        let mut world = World::shipped(setup.side("crm", "create = [\"tallyfy\"]")).await;
        world.plan_and_accept().await;
        fault(&world, "erp", Fault::on("PUT", "/record/v1/salesOrder", effect.clone()));
        world.add("tallyfy", "SO-1", "12500", "hello");
        until_settled(&world).await;
        assert_eq!(struck(&world, "erp"), 1, "{effect:?}");
        assert_eq!(world.ids("erp", "SO-1").len(), 1, "{effect:?}");
        world.expect("SO-1", "memo", "hello");
        world.assert_converged().await;
    }
}

#[tokio::test]
async fn an_update_with_any_mishap_takes_effect_once() {
    for effect in mishaps() {
        for (side, other, target) in
            [("erp", "crm", "/record/v1/salesOrder"), ("crm", "erp", "/sobjects/Opportunity")]
        {
            let mut world = World::shipped_with_order(Setup::default()).await;
            fault(&world, side, Fault::on("PATCH", target, effect.clone()));
            world.edit(other, "SO-1", "memo", "new");
            until_settled(&world).await;
            assert_eq!(struck(&world, side), 1, "{effect:?} in {side}");
            world.expect("SO-1", "memo", "new");
            world.assert_converged().await;
        }
    }
}

#[tokio::test]
async fn a_new_record_that_cannot_be_read_back_is_not_made_again() {
    for (side, target) in [("erp", "/record/v1/salesOrder"), ("crm", "/sobjects/Opportunity")] {
        let setup = Setup::default()
            .without_creates()
            .side("erp", "create = [\"tallyfy\"]")
            .side("crm", "create = [\"tallyfy\"]");
        let mut world = World::shipped(setup).await;
        world.plan_and_accept().await;
        world.add("tallyfy", "SO-1", "12500", "hello");
        // The write goes through, and everything after it fails for a while.
        let refused = Effect::Status { status: 503, when: When::Before, body: None };
        let method = if side == "erp" { "PUT" } else { "PATCH" };
        let pass_on = Effect::Knob { name: "none".into(), value: serde_json::Value::Null };
        fault(&world, side, Fault::on(method, target, pass_on));
        fault(&world, side, Fault::on("GET", target, refused).times(5));
        until_settled(&world).await;
        assert_eq!(world.ids(side, "SO-1").len(), 1, "{side}");
        world.expect("SO-1", "memo", "hello");
        world.assert_converged().await;
    }
}

#[tokio::test]
async fn tokens_that_expire_anywhere_are_renewed() {
    let mut world = World::shipped_with_order(Setup::default()).await;
    for round in 0..4 {
        for side in ["erp", "crm"] {
            fault(&world, side, Fault::next(Effect::ExpireToken).after(round * 2));
        }
        world.edit("tallyfy", "SO-1", "memo", format!("round {round}").as_str());
        for _ in 0..3 {
            attempt(&world, false).await;
        }
        world.expect("SO-1", "memo", &format!("round {round}"));
    }
    world.assert_converged().await;
}
