//! What Azure's refusals mean.

use serde_json::Value;

use crate::server::hiring::provider::wire::Reply;
use crate::server::hiring::provider::{ErrorClass, ProviderError};

/// Azure has no room for such a machine there.
const NO_ROOM: &[&str] = &[
    "SkuNotAvailable",
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "SpotAllocationFailed",
    "NotEnoughCapacity",
];

/// The subscription may have no more.
const NO_MORE: &[&str] = &["QuotaExceeded", "ResourceQuotaExceeded"];

/// It will not be otherwise the next time.
const NEVER: &[&str] = &[
    "PropertyChangeNotAllowed",
    "RequestDisallowedByPolicy",
    "MissingSubscriptionRegistration",
    "SubscriptionNotRegistered",
    "MarketplacePurchaseEligibilityFailed",
    "ResourcePurchaseValidationFailed",
    "InvalidParameter",
    "BadRequest",
    "ImageNotFound",
    "PlatformImageNotFound",
];

/// The error of an answer that is no success.
pub(super) fn of_reply(reply: &Reply) -> ProviderError {
    let (code, words) = words_of(&reply.body);
    let class = class_of(Some(reply.status.as_u16()), &code, &words);
    reply.error(class, &told(&code, &words))
}

/// The error of an operation that was begun and came to nothing.
pub(super) fn of_operation(what: &str, body: &Value) -> ProviderError {
    let (code, words) = words_of(body);
    let class = class_of(None, &code, &words);
    ProviderError::new(class, format!("{what}: {}", told(&code, &words)))
}

/// The error of a login.
pub(super) fn of_login(reply: &Reply) -> ProviderError {
    let text = |key: &str| reply.body.get(key).and_then(Value::as_str).unwrap_or_default();
    let said = text("error_description").lines().next().unwrap_or_default();
    let number = said.split(':').next().unwrap_or_default();
    let hint = match number {
        "AADSTS7000215" => "; the client secret is wrong: see `AZURE_CLIENT_SECRET`",
        "AADSTS7000222" => {
            "; the client secret has expired: make a new one for `AZURE_CLIENT_SECRET`"
        }
        "AADSTS700016" => "; there is no such application: see `AZURE_CLIENT_ID`",
        "AADSTS90002" | "AADSTS900023" => "; there is no such tenant: see `AZURE_TENANT_ID`",
        _ => "",
    };
    let is_refusal = matches!(reply.status.as_u16(), 400 | 401 | 403);
    let class = if is_refusal { ErrorClass::Authentication } else { ErrorClass::Transient };
    let said = if said.is_empty() { text("error") } else { said };
    reply.error(class, &format!("{said}{hint}"))
}

/// Code and message, with those of the first detail, which often says more.
fn words_of(body: &Value) -> (String, String) {
    let error = body.get("error").unwrap_or(body);
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
    };
    let (code, message) = (text(error, "code"), text(error, "message"));
    let detail = error.get("details").and_then(|details| details.get(0));
    match detail.map(|detail| (text(detail, "code"), text(detail, "message"))) {
        Some((inner, said)) if !inner.is_empty() => (inner, format!("{message} {said}")),
        _ if code.is_empty() && message.is_empty() => {
            (String::new(), body.as_str().unwrap_or_default().to_owned())
        }
        _ => (code, message),
    }
}

fn told(code: &str, words: &str) -> String {
    if code.is_empty() { words.to_owned() } else { format!("{code}: {words}") }
}

fn class_of(status: Option<u16>, code: &str, words: &str) -> ErrorClass {
    let is_of = |codes: &[&str]| codes.contains(&code);
    let is_quota = words.to_lowercase().contains("quota") || code.ends_with("LimitReached");
    if status == Some(429) {
        return ErrorClass::Transient;
    }
    if is_of(NO_ROOM) {
        return ErrorClass::Capacity;
    }
    if is_of(NO_MORE) || (is_quota && status != Some(401)) {
        return ErrorClass::Quota;
    }
    if is_of(NEVER) {
        return ErrorClass::Unsupported;
    }
    match status {
        Some(401 | 403) => ErrorClass::Authentication,
        // Something else is under way there. An operation that failed for no reason
        // that we know is tried again as well.
        None | Some(408 | 409 | 412 | 423 | 500..=599) => ErrorClass::Transient,
        Some(_) => ErrorClass::Unsupported,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_has_its_class() {
        let quota = "results in exceeding approved Total Regional Low-priority Cores quota";
        for (status, code, words, expected) in [
            (Some(409), "OperationNotAllowed", quota, ErrorClass::Quota),
            (Some(400), "PublicIPCountLimitReached", "", ErrorClass::Quota),
            (Some(409), "SkuNotAvailable", "", ErrorClass::Capacity),
            (None, "AllocationFailed", "", ErrorClass::Capacity),
            (None, "OSProvisioningTimedOut", "", ErrorClass::Transient),
            (Some(429), "TooManyRequests", "", ErrorClass::Transient),
            (Some(403), "AuthorizationFailed", "", ErrorClass::Authentication),
            (Some(403), "RequestDisallowedByPolicy", "", ErrorClass::Unsupported),
            (Some(409), "ResourceGroupBeingDeleted", "", ErrorClass::Transient),
            (Some(409), "PropertyChangeNotAllowed", "", ErrorClass::Unsupported),
            (Some(400), "InvalidParameter", "", ErrorClass::Unsupported),
            (Some(503), "", "", ErrorClass::Transient),
        ] {
            assert_eq!(class_of(status, code, words), expected, "{status:?} {code}");
        }
    }

    #[test]
    fn the_first_detail_says_what_it_is() {
        let body = json!({"error": {"code": "BadRequest", "message": "It failed.", "details": [
            {"code": "SkuNotAvailable", "message": "None left."}]}});
        assert_eq!(
            words_of(&body),
            ("SkuNotAvailable".to_owned(), "It failed. None left.".to_owned())
        );
        assert_eq!(words_of(&json!("a page")), (String::new(), "a page".to_owned()));
    }
}
