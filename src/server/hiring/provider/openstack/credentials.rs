//! Who we are at an OpenStack cloud: from `clouds.yaml`, or from the variables that its
//! tools read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Url;
use serde_json::{Value, json};

use super::clouds_yaml::{self, Cloud};
use crate::server::hiring::provider::{ErrorClass, ProviderError, Secret};

/// Reads a variable of the server's environment.
pub(super) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is asked of Keystone, and where it is.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Ends in `/v3`.
    pub url: Url,
    /// The request's body, with the secret in it.
    pub body: Secret,
    pub secret: Secret,
    pub region: Option<String>,
    pub interface: String,
    pub authorities: Option<PathBuf>,
    /// Where they are from, for messages.
    pub origin: String,
}

/// Where a cloud's file is looked for.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    pub cloud: Option<String>,
    pub file: Option<PathBuf>,
}

/// The keys of `auth` in `clouds.yaml`, each of which is a variable with `OS_` before it.
const KEYS: &[&str] = &[
    "auth_url",
    "username",
    "user_id",
    "password",
    "user_domain_name",
    "user_domain_id",
    "project_name",
    "project_id",
    "project_domain_name",
    "project_domain_id",
    "domain_name",
    "domain_id",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
];

/// Older names of some.
const ALIASES: &[(&str, &str)] = &[("tenant_name", "project_name"), ("tenant_id", "project_id")];

/// Finds the credentials.
///
/// # Errors
/// Of the class Authentication: which variables or which file, and what is missing.
pub(super) fn load(lookup: &Lookup, variable: Variable<'_>) -> Result<Credentials, ProviderError> {
    let cloud = lookup.cloud.clone().or_else(|| variable("OS_CLOUD"));
    let (cloud, origin) = match cloud {
        Some(name) => {
            let path = clouds_file(lookup, variable, &name)?;
            let cloud = clouds_yaml::find(&path, &name).map_err(refuse)?;
            (cloud, format!("cloud `{name}` of `{}`", path.display()))
        }
        None => (from_variables(variable), "the variables `OS_*`".to_owned()),
    };
    credentials_of(cloud, origin)
}

fn clouds_file(
    lookup: &Lookup,
    variable: Variable<'_>,
    cloud: &str,
) -> Result<PathBuf, ProviderError> {
    if let Some(file) =
        lookup.file.clone().or_else(|| variable("OS_CLIENT_CONFIG_FILE").map(Into::into))
    {
        return Ok(file);
    }
    let configuration = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")));
    let mut places: Vec<PathBuf> = Vec::new();
    places.extend(configuration.map(|folder| folder.join("openstack/clouds.yaml")));
    places.push("/etc/openstack/clouds.yaml".into());
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let looked: Vec<String> = places.iter().map(|path| format!("`{}`", path.display())).collect();
        refuse(format!(
            "no `clouds.yaml` with the cloud `{cloud}`: there is neither {}; name the file by `clouds_file` or by the variable `OS_CLIENT_CONFIG_FILE`",
            looked.join(" nor ")
        ))
    })
}

fn from_variables(variable: Variable<'_>) -> Cloud {
    let read = |key: &str| {
        variable(&format!("OS_{}", key.to_uppercase())).filter(|value| !value.is_empty())
    };
    let mut auth: BTreeMap<String, String> =
        KEYS.iter().filter_map(|key| Some(((*key).to_owned(), read(key)?))).collect();
    for (old, key) in ALIASES {
        if let (false, Some(value)) = (auth.contains_key(*key), read(old)) {
            auth.insert((*key).to_owned(), value);
        }
    }
    Cloud {
        auth,
        auth_type: read("auth_type"),
        region_name: read("region_name"),
        interface: read("interface").or_else(|| read("endpoint_type")),
        cacert: read("cacert"),
        verify: None,
    }
}

fn credentials_of(cloud: Cloud, origin: String) -> Result<Credentials, ProviderError> {
    let Cloud { mut auth, auth_type, region_name, interface, cacert, verify } = cloud;
    for (old, key) in ALIASES {
        if let Some(value) = auth.remove(*old) {
            auth.entry((*key).to_owned()).or_insert(value);
        }
    }
    auth.retain(|_, value| !value.is_empty());
    if verify == Some(false) {
        return Err(refuse(format!(
            "{origin}: `verify: false` is not supported; give the authority's certificate by `cacert`"
        )));
    }
    let has_application = auth.keys().any(|key| key.starts_with("application_credential"));
    let is_application = match auth_type.as_deref() {
        Some("v3applicationcredential") => true,
        Some("password" | "v3password") => false,
        None => has_application,
        Some(other) => {
            return Err(refuse(format!(
                "{origin}: `auth_type` `{other}` is not supported: password, v3applicationcredential"
            )));
        }
    };
    let address = want(&auth, &origin, &["auth_url"])?;
    let url = keystone(address).map_err(|reason| {
        refuse(format!("{origin}: `{}` is no address: {reason}", named(&origin, "auth_url")))
    })?;
    let (body, secret) = if is_application {
        application_body(&auth, &origin)?
    } else {
        password_body(&auth, &origin)?
    };
    let interface = interface.unwrap_or_default();
    Ok(Credentials {
        url,
        body: Secret::new(body.to_string()),
        secret: Secret::new(secret.to_owned()),
        region: region_name,
        interface: match interface.trim_end_matches("URL") {
            "" => "public".to_owned(),
            other => other.to_owned(),
        },
        authorities: cacert.map(PathBuf::from),
        origin,
    })
}

fn password_body<'a>(
    auth: &'a BTreeMap<String, String>,
    origin: &str,
) -> Result<(Value, &'a str), ProviderError> {
    want(auth, origin, &["username", "user_id"])?;
    let password = want(auth, origin, &["password"])?;
    want(auth, origin, &["project_name", "project_id"])?;
    let mut user = match auth.get("user_id") {
        Some(id) => json!({"id": id}),
        None => json!({"name": auth.get("username"), "domain": domain(auth, "user_domain")}),
    };
    user["password"] = password.into();
    let project = match auth.get("project_id") {
        Some(id) => json!({"id": id}),
        None => json!({"name": auth.get("project_name"), "domain": domain(auth, "project_domain")}),
    };
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": project},
    }});
    Ok((body, password))
}

fn application_body<'a>(
    auth: &'a BTreeMap<String, String>,
    origin: &str,
) -> Result<(Value, &'a str), ProviderError> {
    let secret = want(auth, origin, &["application_credential_secret"])?;
    let mut credential = if let Some(id) = auth.get("application_credential_id") {
        json!({"id": id})
    } else {
        let keys = ["application_credential_id", "application_credential_name"];
        let name = want(auth, origin, &keys)?;
        want(auth, origin, &["username", "user_id"])?;
        let user = match auth.get("user_id") {
            Some(id) => json!({"id": id}),
            None => json!({"name": auth.get("username"), "domain": domain(auth, "user_domain")}),
        };
        json!({"name": name, "user": user})
    };
    credential["secret"] = secret.into();
    // Its project belongs to it, so that no scope may be named.
    let body = json!({"auth": {"identity": {
        "methods": ["application_credential"],
        "application_credential": credential,
    }}});
    Ok((body, secret))
}

fn domain(auth: &BTreeMap<String, String>, of: &str) -> Value {
    for (key, field) in [("id", "id"), ("name", "name")] {
        let found = auth.get(&format!("{of}_{key}")).or_else(|| auth.get(&format!("domain_{key}")));
        if let Some(value) = found {
            return json!({field: value});
        }
    }
    json!({"id": "default"})
}

fn want<'a>(
    auth: &'a BTreeMap<String, String>,
    origin: &str,
    one_of: &[&str],
) -> Result<&'a str, ProviderError> {
    if let Some(value) = one_of.iter().find_map(|key| auth.get(*key)) {
        return Ok(value);
    }
    let names: Vec<String> = one_of.iter().map(|key| format!("`{}`", named(origin, key))).collect();
    let names = names.join(" or ");
    Err(refuse(if is_variables(origin) {
        format!(
            "no credentials: set the variable {names} for the server, or name a cloud of a `clouds.yaml` by `cloud`"
        )
    } else {
        format!("no credentials: {origin} lacks {names} in its `auth`")
    }))
}

fn named(origin: &str, key: &str) -> String {
    if is_variables(origin) { format!("OS_{}", key.to_uppercase()) } else { key.to_owned() }
}

fn is_variables(origin: &str) -> bool {
    origin.starts_with("the variables")
}

/// The address of version 3, whichever of the two forms people have written.
fn keystone(address: &str) -> Result<Url, String> {
    let mut url: Url = address.parse().map_err(|error| format!("{error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it begins with `http` or `https`".to_owned());
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v2.0").unwrap_or(path);
    let path = if path.ends_with("/v3") { path.to_owned() } else { format!("{path}/v3") };
    url.set_path(&path);
    Ok(url)
}

fn refuse(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorClass::Authentication, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Credentials, ProviderError> {
        let pairs: BTreeMap<String, String> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        load(&Lookup { cloud: None, file: None }, &|name| pairs.get(name).cloned())
    }

    #[test]
    fn a_password_is_scoped_to_its_project() {
        let found = from(&[
            ("OS_AUTH_URL", "http://127.0.0.1:5000"),
            ("OS_USERNAME", "joe"),
            ("OS_PASSWORD", "open sesame"),
            ("OS_TENANT_NAME", "lab"),
            ("OS_REGION_NAME", "GRA11"),
            ("OS_ENDPOINT_TYPE", "internalURL"),
        ])
        .unwrap();
        assert_eq!(found.url.as_str(), "http://127.0.0.1:5000/v3");
        assert_eq!(
            (found.region.as_deref(), found.interface.as_str()),
            (Some("GRA11"), "internal")
        );
        let body: Value = serde_json::from_str(found.body.expose()).unwrap();
        let user = &body["auth"]["identity"]["password"]["user"];
        assert_eq!(user["name"], "joe");
        assert_eq!(user["domain"], json!({"id": "default"}));
        assert_eq!(body["auth"]["scope"]["project"]["name"], "lab");
        assert!(!format!("{found:?}").contains("sesame"));
    }

    #[test]
    fn an_application_credential_has_no_scope() {
        let found = from(&[
            ("OS_AUTH_URL", "https://127.0.0.1/identity/v3/"),
            ("OS_APPLICATION_CREDENTIAL_ID", "a1"),
            ("OS_APPLICATION_CREDENTIAL_SECRET", "open sesame"),
        ])
        .unwrap();
        assert_eq!(found.url.as_str(), "https://127.0.0.1/identity/v3");
        let body: Value = serde_json::from_str(found.body.expose()).unwrap();
        assert_eq!(body["auth"].get("scope"), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = from(&[]).unwrap_err();
        assert_eq!(error.class, ErrorClass::Authentication);
        assert!(error.message.contains("`OS_AUTH_URL`"), "{error}");
        let error =
            from(&[("OS_AUTH_URL", "http://127.0.0.1"), ("OS_USERNAME", "joe")]).unwrap_err();
        assert!(error.message.contains("`OS_PASSWORD`"), "{error}");
        let error = from(&[("OS_AUTH_URL", "ftp://127.0.0.1")]).unwrap_err();
        assert!(error.message.contains("`OS_AUTH_URL` is no address"), "{error}");
        let error =
            from(&[("OS_CLOUD", "lab"), ("OS_CLIENT_CONFIG_FILE", "/no/clouds.yaml")]).unwrap_err();
        assert!(error.message.contains("`/no/clouds.yaml`"), "{error}");
    }
}
