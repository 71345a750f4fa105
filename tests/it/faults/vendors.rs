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
    for side in ["erp", "crm"] {
        let setup = Setup::default()
            .without_creates()
            .side("erp", "create = [\"tallyfy\"]")
            .side("crm", "create = [\"tallyfy\"]");
        let mut world = World::shipped(setup).await;
        world.plan_and_accept().await;
        world.add("tallyfy", "SO-1", "12500", "hello");
        // The write goes through, and no look at the new record succeeds for a while.
        let method = if side == "erp" { "PUT" } else { "PATCH" };
        let (with, look) =
            if side == "erp" { ("POST", "suiteql?limit=2") } else { ("GET", "/sobjects/Opportunity/0") };
        let refused = Effect::Status { status: 503, when: When::Before, body: None };
        fault(&world, side, Fault::on(with, look, refused).times(6));
        for _ in 0..4 {
            attempt(&world, false).await;
        }
        until_settled(&world).await;
        let log: Vec<String> = world
            .on(side)
            .hub()
            .world()
            .requests()
            .iter()
            .map(|it| format!("{} {}", it.method, it.target))
            .collect();
        assert!(struck(&world, side) > 0, "{side}: nothing was refused: {log:#?}");
        let sent = world.on(side).hub().world().requests().iter().filter(|it| it.method == method).count();
        assert_eq!(sent, 1, "{side}: it was made once");
        assert_eq!(world.ids(side, "SO-1").len(), 1, "{side}");
        world.expect("SO-1", "memo", "hello");
        world.assert_converged().await;
    }
}
