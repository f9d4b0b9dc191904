//! What the OpenAPI document says of every route alike: how it fails, who may
//! ask, how a change is made harmless to repeat. Added to all routes here, so
//! that a new one has it.

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, Ref, RefOr, ResponseBuilder};

use crate::api::IDEMPOTENCY_KEY;

use super::request::MAX_KEY;

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// Statuses of failures, the names under which the document has them, and what they mean.
const FAILURES: &[(&str, &str, &str)] = &[
    ("400", "Invalid", "The request cannot be understood."),
    ("401", "Unauthenticated", "No token, or none that is known."),
    ("403", "Forbidden", "The token's role does not allow it."),
    ("404", "NotFound", "There is no such object."),
    ("409", "Conflict", "The object's state does not allow it."),
    ("413", "TooLarge", "The body is larger than the server takes."),
    ("500", "Internal", "A defect of the server; its log has the cause under the request's id."),
    ("503", "Unavailable", "It cannot be done at the moment."),
];

/// Completes the document.
pub(super) fn complete(document: &mut Document) {
    let components = document.components.get_or_insert_default();
    for (_, name, meaning) in FAILURES {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let response =
            ResponseBuilder::new().description(*meaning).content("application/json", body).build();
        components.responses.insert((*name).to_owned(), response.into());
    }
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token that `scitq manage token create` makes. Its role decides what it may do.",
    ));
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme.build()));
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(path, method, operation);
        }
    }
}

fn operations(item: &mut PathItem) -> Vec<(&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, slot)| Some((method, slot.as_mut()?))).collect()
}

fn complete_operation(path: &str, method: &str, operation: &mut Operation) {
    // Each resource has its `list` and its `show`: the two together are unique.
    if let (Some(tag), Some(id)) = (operation.tags.iter().flatten().next(), &operation.operation_id)
    {
        operation.operation_id = Some(format!("{tag}.{id}"));
    }
    let names_something = path.contains('{') || operation.request_body.is_some();
    let can_conflict = method != "get" || path.contains("/output/");
    let responses: &mut BTreeMap<_, _> = &mut operation.responses.responses;
    responses.remove("4XX");
    responses.remove("5XX");
    for (status, name, _) in FAILURES {
        let can_happen = match *status {
            "404" => names_something,
            "409" => can_conflict,
            "413" => method != "get",
            _ => true,
        };
        if can_happen {
            let response = RefOr::Ref(Ref::from_response_name(*name));
            responses.insert((*status).to_owned(), response);
        }
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == IDEMPOTENCY_KEY
        {
            describe_key(parameter);
        }
    }
}

fn describe_key(parameter: &mut Parameter) {
    parameter.description = Some(
        "A text of your choice that names this change. Sent again with the same key within \
         24 hours, it is answered as before and changes nothing twice; another change with \
         that key is a conflict."
            .to_owned(),
    );
    let schema = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .min_length(Some(1))
        .max_length(Some(MAX_KEY))
        .pattern(Some("^[!-~]+$"));
    parameter.schema = Some(schema.into());
}
