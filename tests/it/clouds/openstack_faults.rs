//! What goes wrong at an OpenStack, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use scitq::server::hiring::provider::{ErrorClass, MachineStatus};
use serde_json::json;

use super::desk::{self, JOIN_TOKEN, Notes, block, hired, order, tag};
use super::nova::{Cloud, PASSWORD};
use super::openstack::{KEYS, Stage};
use super::web::Answer;
use crate::world::World;

fn stage() -> (Cloud, Stage) {
    let world = Arc::new(World::new());
    let cloud = Cloud::start(Arc::clone(&world), &["NORTH"]);
    let stage = Stage::of(&world, &cloud, "NORTH");
    (cloud, stage)
}

fn busy(status: u16, seconds: &str) -> Answer {
    Answer::json(status, &json!({"overLimit": {"code": status, "message": "Slow down."}}))
        .with("Retry-After", seconds)
}

#[test]
fn a_token_that_expired_is_renewed_once_and_nobody_notices() {
    let (cloud, stage) = stage();
    let provider = stage.provider("");
    let notes = Notes::default();
    let asked = order("head-node1", "b2-7", "NORTH");
    let machine = block(provider.create(&asked, &notes)).unwrap();
    cloud.state().expire_tokens();
    let that = hired(&asked, Some(machine));
    let status = block(provider.status(&that)).unwrap();
    assert!(matches!(status, MachineStatus::Running { .. }), "{status:?}");
    let logins = || {
        let state = cloud.state();
        state.asked.iter().filter(|asked| *asked == "POST /v3/auth/tokens").count()
    };
    assert_eq!(logins(), 2);
    // A cloud that refuses each token is not asked for ever.
    let refusal = json!({"error": {"code": 401, "message": "no"}});
    for _ in 0..2 {
        cloud.state().next.push_back(Answer::json(401, &refusal));
    }
    let error = block(provider.status(&that)).unwrap_err();
    assert_eq!(error.class, ErrorClass::Authentication, "{error}");
    assert!(
        error.message.contains("a token that was just made with the variables `OS_*`"),
        "{error}"
    );
    assert_eq!(logins(), 3);
}

#[test]
fn a_cloud_that_is_busy_is_asked_again_when_it_said() {
    let (cloud, stage) = stage();
    let provider = stage.provider("");
    cloud.state().next.extend([busy(429, "0"), busy(503, "0")]);
    assert_eq!(block(provider.flavors()).unwrap().len(), 5);
    cloud.state().next.push_back(busy(429, "3600"));
    let error = block(provider.flavors()).unwrap_err();
    assert_eq!(
        (error.class, error.retry_after),
        (ErrorClass::Transient, Some(Duration::from_hours(1)))
    );
    cloud.state().next.push_back(Answer::empty(502).saying("<html>Bad Gateway</html>"));
    let asked = order("head-node1", "b2-7", "NORTH");
    assert!(block(provider.create(&asked, &Notes::default())).is_ok());
}

#[test]
fn a_machine_whose_answer_was_lost_is_found_again_and_not_made_twice() {
    let (cloud, stage) = stage();
    let provider = stage.provider("");
    let notes = Notes::default();
    let asked = order("head-node1", "b2-7", "NORTH");
    cloud.state().lost_answer = Some(Answer::empty(504).saying("gone"));
    let machine = block(provider.create(&asked, &notes)).unwrap();
    assert!(notes.text().contains("looking whether the machine is there"), "{}", notes.text());
    let found = block(provider.list(&tag("store-1"))).unwrap();
    let ours: Vec<_> = found.iter().filter(|hired| hired.worker == asked.worker).collect();
    assert_eq!(ours, [&hired(&asked, Some(machine))]);
}

#[test]
fn an_outage_while_a_machine_is_made_costs_time_and_nothing_else() {
    let (cloud, stage) = stage();
    let provider = stage.provider("");
    let notes = Notes::default();
    // So many that the looks at one machine come to an end twice.
    cloud.state().after_order.extend((0..8).map(|_| busy(503, "0")));
    let asked = order("head-node1", "b2-7", "NORTH");
    block(provider.create(&asked, &notes)).unwrap();
    assert_eq!(notes.text().matches("503").count(), 2, "{}", notes.text());
    assert_eq!(cloud.state().servers(), 1);
}

#[test]
fn a_failed_machine_of_an_earlier_try_makes_room_for_the_next() {
    let (cloud, stage) = stage();
    let provider = stage.provider("");
    let notes = Notes::default();
    let asked = order("head-node1", "huge", "NORTH");
    block(provider.create(&asked, &notes)).unwrap_err();
    assert_eq!(cloud.state().servers(), 1);
    let next = order("head-node1", "b2-7", "NORTH");
    block(provider.create(&next, &notes)).unwrap();
    assert!(notes.text().contains("left over: machine server-1 (ERROR)"), "{}", notes.text());
    assert_eq!(cloud.state().servers(), 1);
}

#[test]
fn a_deletion_that_hangs_is_forced_and_else_told() {
    let (cloud, stage) = stage();
    let provider = stage.provider("poll_seconds = 0.01\n");
    let notes = Notes::default();
    let asked = order("head-node1", "b2-7", "NORTH");
    let machine = block(provider.create(&asked, &notes)).unwrap();
    cloud.state().keeps_deleted = true;
    let that = hired(&asked, Some(machine.clone()));
    block(provider.destroy(&that, &notes)).unwrap();
    assert!(notes.text().contains("deletion by force taken"), "{}", notes.text());

    let provider = stage.provider("poll_seconds = 0.01\ndelete_minutes = 0.001\n");
    block(provider.create(&asked, &notes)).unwrap();
    let error = block(provider.destroy(&hired(&asked, None), &notes)).unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.contains("and may still cost"), "{error}");
}

#[test]
fn a_cancelled_job_ends_and_leaves_its_machine_to_be_found() {
    let (cloud, stage) = stage();
    cloud.state().looks_to_build = u32::MAX;
    let provider = stage.provider("");
    let notes = Notes::default();
    let asked = order("head-node1", "b2-7", "NORTH");
    let error = block(async {
        tokio::join!(provider.create(&asked, &notes), async {
            while cloud.state().servers() == 0 {
                tokio::task::yield_now().await;
            }
            notes.cancel();
        })
        .0
    })
    .unwrap_err();
    assert_eq!(error.class, ErrorClass::Cancelled);
    let that = hired(&asked, None);
    assert_eq!(block(provider.status(&that)).unwrap(), MachineStatus::Building);
    block(provider.destroy(&that, &Notes::default())).unwrap();
    assert_eq!(cloud.state().servers(), 0);
}

#[test]
fn regions_are_those_of_the_settings_or_else_of_the_catalogue() {
    let world = Arc::new(World::new());
    let cloud = Cloud::start(Arc::clone(&world), &["NORTH", "SOUTH"]);
    let make = |regions: &[&str]| {
        let keys = format!("{KEYS}poll_seconds = 0.05\n");
        desk::provider("openstack", world.path(), &keys, &cloud.variables(), regions).unwrap()
    };
    assert_eq!(block(make(&[]).flavors()).unwrap().len(), 10);
    assert_eq!(block(make(&["SOUTH"]).flavors()).unwrap().len(), 5);
    let error = block(make(&["SUOTH"]).flavors()).unwrap_err();
    assert!(error.message.contains("in the region `SUOTH`; it has it in: NORTH, SOUTH"), "{error}");
    let provider = make(&[]);
    for region in ["NORTH", "SOUTH"] {
        let asked = order(&format!("head-{region}"), "b2-7", region);
        block(provider.create(&asked, &Notes::default())).unwrap();
    }
    assert_eq!(block(provider.list(&tag("store-1"))).unwrap().len(), 2);
}

#[test]
fn a_cloud_without_extra_specs_is_asked_in_its_older_version() {
    let (cloud, stage) = stage();
    cloud.state().is_old = true;
    let flavors = block(stage.provider("").flavors()).unwrap();
    assert_eq!(flavors.len(), 5);
    assert!(flavors.iter().all(|flavor| flavor.gpu.is_none()));
}

#[test]
fn bad_settings_are_refused_with_their_place() {
    let (_cloud, stage) = stage();
    let refused = |keys: &str| {
        let made =
            desk::provider("openstack", stage.world.path(), keys, &stage.variables, &["NORTH"]);
        made.unwrap_err().to_string()
    };
    assert_eq!(
        refused(""),
        "provider `cloud` in `server.toml`: `image` is missing: the name or id of the image to start from"
    );
    assert!(
        refused("imge = \"x\"").contains("unknown field `imge`"),
        "{}",
        refused("imge = \"x\"")
    );
    assert!(
        refused("image = \"x\"\npoll_seconds = -1.0")
            .contains("`poll_seconds` is no length of time")
    );
    let template = stage.world.path().join("wrong");
    std::fs::write(&template, "#!/bin/sh\necho {{tokne}}\n").unwrap();
    let said = refused(&format!("image = \"x\"\nuser_data = \"{}\"", template.display()));
    assert!(said.contains("wrong`, line 2, column 6: `{{tokne}}` is none of:"), "{said}");
    let error = block(stage.provider_as("cloud = \"lab\"\n", &[].into()).flavors()).unwrap_err();
    assert!(error.message.contains("`/etc/openstack/clouds.yaml`"), "{error}");
}

#[test]
fn no_secret_is_shown_by_anything_that_an_openstack_says() {
    let (cloud, stage) = stage();
    let provider = stage.provider("");
    let notes = Notes::default();
    let asked = order("head-node1", "b2-7", "NORTH");
    let mut said = vec![format!("{asked:?}"), format!("{provider:?}")];
    // A cloud that repeats what it was told.
    let echo = format!("no, not with {PASSWORD} and gAAAA-token-1");
    cloud.state().next.push_back(Answer::json(400, &json!({"badRequest": {"message": echo}})));
    cloud.state().next.push_back(Answer::json(400, &json!({"badRequest": {"message": echo}})));
    said.push(block(provider.flavors()).unwrap_err().to_string());
    assert!(said[2].contains("no, not with (secret) and (secret)"), "{}", said[2]);
    block(provider.create(&asked, &notes)).unwrap();
    said.push(notes.text());
    said.push(format!("{provider:?}"));
    assert!(cloud.state().user_data("head-node1").contains(JOIN_TOKEN));
    for text in said {
        for secret in [PASSWORD, JOIN_TOKEN, "gAAAA-token"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
