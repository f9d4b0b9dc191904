//! What goes wrong at Azure, and what becomes of it.

use std::time::Duration;

use scitq::server::hiring::provider::{ErrorClass, MachineStatus, ProviderError};
use serde_json::json;

use super::arm::{CLIENT_SECRET, refusal};
use super::azure::{REGION, Stage};
use super::desk::{JOIN_TOKEN, Notes, block, hired, order};
use super::web::Answer;

const FLAVOR: &str = "Standard_D2s_v3";

fn busy(seconds: &str) -> Answer {
    refusal(429, "TooManyRequests", "Slow down.").with("Retry-After", seconds)
}

#[test]
fn a_token_that_expired_is_renewed_once() {
    let stage = Stage::new();
    let provider = stage.provider("");
    let asked = order("head-node1", FLAVOR, REGION);
    block(provider.create(&asked, &Notes::default())).unwrap();
    stage.arm.state().expire_tokens();
    block(provider.destroy(&hired(&asked, None), &Notes::default())).unwrap();
    let logins = || {
        let state = stage.arm.state();
        state.asked.iter().filter(|asked| asked.contains("oauth2")).count()
    };
    assert_eq!(logins(), 2);
    let refused = || refusal(401, "InvalidAuthenticationToken", "no");
    stage.arm.state().next.extend([refused(), refused()]);
    let error = block(provider.status(&hired(&asked, None))).unwrap_err();
    assert_eq!(error.class, ErrorClass::Authentication, "{error}");
    assert_eq!(logins(), 3);
}

#[test]
fn a_login_that_is_refused_says_what_to_change() {
    let stage = Stage::new();
    for (said, expected) in [
        (
            "AADSTS7000222: The provided client secret keys are expired.\r\nTrace ID: 1",
            "has expired",
        ),
        ("AADSTS7000215: Invalid client secret provided.", "see `AZURE_CLIENT_SECRET`"),
        ("AADSTS700016: Application not found.", "see `AZURE_CLIENT_ID`"),
    ] {
        stage.arm.state().login_refusal = Some(said);
        let error = block(stage.provider("").flavors()).unwrap_err();
        assert_eq!(error.class, ErrorClass::Authentication);
        assert!(error.message.contains(expected) && !error.message.contains("Trace"), "{error}");
    }
}

#[test]
fn azure_is_left_alone_for_as_long_as_it_says() {
    let stage = Stage::new();
    let provider = stage.provider("");
    stage.arm.state().next.extend([busy("0"), busy("0")]);
    assert_eq!(block(provider.flavors()).unwrap().len(), 4);
    stage.arm.state().next.push_back(busy("600"));
    let error = block(provider.flavors()).unwrap_err();
    assert_eq!(
        (error.class, error.retry_after),
        (ErrorClass::Transient, Some(Duration::from_mins(10)))
    );
}

#[test]
fn an_outage_while_a_machine_is_made_costs_time_and_nothing_else() {
    let stage = Stage::new();
    let provider = stage.provider("");
    let notes = Notes::default();
    stage.arm.state().after_order.extend((0..8).map(|_| busy("0")));
    let asked = order("head-node1", FLAVOR, REGION);
    block(provider.create(&asked, &notes)).unwrap();
    assert_eq!(notes.text().matches("Slow down.").count(), 2, "{}", notes.text());
}

#[test]
fn refusals_of_a_machine_have_their_class() {
    let stage = Stage::new();
    let provider = stage.provider("");
    let notes = Notes::default();
    let asked = order("head-node1", FLAVOR, REGION);
    let create = || block(provider.create(&asked, &notes)).unwrap_err();
    let quota = "Operation could not be completed as it results in exceeding approved \
                 LowPriorityCores Cores quota.";
    for (status, code, said, class) in [
        (409, "OperationNotAllowed", quota, ErrorClass::Quota),
        (
            409,
            "SkuNotAvailable",
            "The requested size is currently not available.",
            ErrorClass::Capacity,
        ),
        (
            400,
            "InvalidParameter",
            "The value of parameter vmSize is invalid.",
            ErrorClass::Unsupported,
        ),
        (
            403,
            "AuthorizationFailed",
            "The client does not have authorization.",
            ErrorClass::Authentication,
        ),
        (503, "ServiceUnavailable", "", ErrorClass::Transient),
    ] {
        stage.arm.state().next_refusal = Some((status, code, said));
        let error: ProviderError = create();
        assert_eq!(error.class, class, "{error}");
        assert!(error.message.contains(code), "{error}");
    }
    for (code, class) in [
        ("AllocationFailed", ErrorClass::Capacity),
        ("OSProvisioningTimedOut", ErrorClass::Transient),
    ] {
        stage.arm.state().next_failure = Some((code, "It came to nothing."));
        let error = create();
        assert_eq!(error.class, class, "{error}");
        assert!(error.message.contains("It came to nothing."), "{error}");
        let status = block(provider.status(&hired(&asked, None))).unwrap();
        assert!(matches!(status, MachineStatus::Failed(_)), "{status:?}");
    }
    // What is left of these tries is in nobody's way.
    block(provider.create(&asked, &notes)).unwrap();
    assert!(notes.text().contains("what is left of an earlier try is deleted"), "{}", notes.text());
    stage.has_no_breach();
}

#[test]
fn what_belongs_to_others_is_never_touched() {
    let stage = Stage::new();
    let provider = stage.provider("");
    let path = "/subscriptions/subscription-1/resourceGroups/scitq-head-node1-store1";
    stage.arm.state().plant(path, json!({"location": REGION, "tags": {"owner": "somebody"}}));
    let asked = order("head-node1", FLAVOR, REGION);
    for error in [
        block(provider.create(&asked, &Notes::default())).unwrap_err(),
        block(provider.destroy(&hired(&asked, None), &Notes::default())).unwrap_err(),
    ] {
        assert_eq!(error.class, ErrorClass::Unsupported);
        assert!(error.message.contains("it stays as it is"), "{error}");
    }
    assert_eq!(stage.arm.state().resources(), 1);
}

#[test]
fn a_token_goes_to_no_other_host_than_azures_own() {
    let stage = Stage::new();
    let provider = stage.provider("");
    let asked = order("head-node1", FLAVOR, REGION);
    block(provider.create(&asked, &Notes::default())).unwrap();
    let elsewhere = "http://127.0.0.1:9/operations/1";
    let through = Answer::json(200, &json!({"tags": {"scitq-head": "store-1"}}));
    let begun = Answer::empty(202).with("Location", elsewhere);
    stage.arm.state().next.extend([through, begun]);
    let error = block(provider.destroy(&hired(&asked, None), &Notes::default())).unwrap_err();
    assert_eq!(error.class, ErrorClass::Unsupported);
    assert!(error.message.contains("no token goes there"), "{error}");
}

#[test]
fn an_operation_that_does_not_end_is_told_and_one_that_is_cancelled_ends() {
    let stage = Stage::new();
    stage.arm.state().looks_until_done = u32::MAX;
    let asked = order("head-node1", FLAVOR, REGION);
    let provider = stage.provider("limit_minutes = 0.001\n");
    let error = block(provider.create(&asked, &Notes::default())).unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.contains("not done after"), "{error}");

    let provider = stage.provider("");
    let notes = Notes::default();
    let error = block(async {
        tokio::join!(provider.create(&asked, &notes), async {
            while stage
                .arm
                .state()
                .asked
                .iter()
                .filter(|asked| asked.contains("/operations/"))
                .count()
                < 9
            {
                tokio::task::yield_now().await;
            }
            notes.cancel();
        })
        .0
    })
    .unwrap_err();
    assert_eq!(error.class, ErrorClass::Cancelled);
    assert_eq!(block(provider.status(&hired(&asked, None))).unwrap(), MachineStatus::Building);
    stage.arm.state().looks_until_done = 0;
    block(provider.destroy(&hired(&asked, None), &Notes::default())).unwrap();
    assert_eq!(stage.arm.state().resources(), 0);
}

#[test]
fn no_secret_is_shown_by_anything_that_azure_says() {
    let stage = Stage::new();
    let provider = stage.provider("");
    let notes = Notes::default();
    let asked = order("head-node1", FLAVOR, REGION);
    let mut said = vec![format!("{provider:?}")];
    let echo = format!("no, not with {CLIENT_SECRET} and eyJ0-token-1");
    stage.arm.state().next.push_back(refusal(400, "BadRequest", &echo));
    said.push(block(provider.flavors()).unwrap_err().to_string());
    assert!(said[1].contains("no, not with (secret) and (secret)"), "{}", said[1]);
    block(provider.create(&asked, &notes)).unwrap();
    said.extend([notes.text(), format!("{provider:?}")]);
    for text in said {
        for secret in [CLIENT_SECRET, JOIN_TOKEN, "eyJ0-token"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
