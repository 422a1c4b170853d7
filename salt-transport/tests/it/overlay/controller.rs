//! The overlay's controller: the REST calls that clients make.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::http::{Answer, Asked, asked};
use super::{Session, Shared, State, pki};

/// Log-ins by OIDC that are under way, and what came of them.
#[derive(Default)]
pub(crate) struct Oidc {
    requests: HashMap<String, Begun>,
    /// Request and identity by code.
    codes: HashMap<String, (String, String)>,
    /// Identities by refresh token.
    refresh: HashMap<String, String>,
}

#[derive(Clone)]
struct Begun {
    state: String,
    challenge: String,
    redirect: String,
    identity: Option<String>,
}

pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let acceptor = TlsAcceptor::from(shared.pki.server(None));
    let mut clients = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        clients.spawn(client(acceptor.clone(), stream, Arc::clone(&shared)));
        while clients.try_join_next().is_some() {}
    }
}

async fn client(acceptor: TlsAcceptor, stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let stream = acceptor.accept(stream).await?;
    let identity = pki::common_name(stream.get_ref().1);
    let (read, mut write) = tokio::io::split(stream);
    let mut read = BufReader::new(read);
    while let Some(asked) = asked(&mut read).await? {
        let late = shared.state().behaviour.late;
        tokio::time::sleep(late).await;
        let closes = asked.header("connection") == Some("close");
        let answer = answer(&shared, &asked, identity.as_deref());
        answer.send(&mut write).await?;
        if closes {
            tokio::io::AsyncWriteExt::shutdown(&mut write).await?;
            break;
        }
    }
    Ok(())
}

fn data(status: u16, data: &Value) -> Answer {
    Answer::json(status, &json!({"data": data, "meta": {}}))
}

fn refused(status: u16, code: &str) -> Answer {
    let error = json!({"code": code, "message": "the test overlay says no", "requestId": "x"});
    Answer::json(status, &json!({"error": error, "meta": {}}))
}

fn answer(shared: &Shared, asked: &Asked, identity: Option<&str>) -> Answer {
    let path = asked
        .path
        .strip_prefix("/edge/client/v1")
        .unwrap_or(&asked.path);
    let mut state = shared.state();
    let state = &mut *state;
    match (asked.method.as_str(), path) {
        ("GET", "/.well-known/est/cacerts") => {
            return Answer::text("application/pkcs7-mime", shared.pki.pkcs7());
        }
        ("GET", "/version") => return version(shared, state),
        ("POST", "/enroll" | "/enroll/ott") => return enroll(shared, state, asked),
        ("POST", "/authenticate") => return authenticate(state, identity),
        _ => {}
    }
    if state.behaviour.oidc
        && let Some(answer) = oidc(shared, state, asked, path, identity)
    {
        return answer;
    }
    let bearer = asked
        .header("authorization")
        .and_then(|text| text.strip_prefix("Bearer "));
    let token = asked.header("zt-session").or(bearer).unwrap_or_default();
    let Some(who) = state.log_ins.get(token).cloned() else {
        return refused(401, "UNAUTHORIZED");
    };
    match (asked.method.as_str(), path) {
        ("GET", "/current-api-session") => data(200, &api_session(state, token, &who)),
        ("GET", "/current-identity") => data(200, &identity_of(state, &who)),
        ("GET", "/current-api-session/service-updates") => {
            let at = format!("2026-11-22T00:00:{:02}.000Z", state.changes() % 60);
            data(200, &json!({"lastChangeAt": at}))
        }
        ("GET", "/services") => services(state, asked),
        ("GET", "/current-identity/edge-routers") => {
            let routers = routers(state);
            data(200, &routers)
        }
        ("POST", "/sessions") => session(state, asked, &who),
        ("GET", path) if path.starts_with("/sessions/") => {
            let id = path.trim_start_matches("/sessions/");
            match state.sessions.get(id).cloned() {
                Some(session) => data(200, &session_json(state, id, &session)),
                None => refused(404, "NOT_FOUND"),
            }
        }
        ("GET", path) if path.ends_with("/edge-routers") => {
            let routers = json!({"edgeRouters": routers(state)});
            data(200, &routers)
        }
        ("DELETE", _) => data(200, &json!({})),
        ("GET", "/controllers") => data(200, &json!([])),
        (method, path) => {
            state.not_understood.push(format!("{method} {path}"));
            refused(404, "NOT_FOUND")
        }
    }
}

fn version(shared: &Shared, state: &State) -> Answer {
    let capabilities: &[&str] = if state.behaviour.oidc {
        &["OIDC_AUTH"]
    } else {
        &[]
    };
    let base = format!("{}/edge/client/v1", shared.url());
    data(
        200,
        &json!({
            "version": "v1.6.0", "revision": "test", "buildDate": "2026-01-01", "runtimeVersion": "test",
            "apiVersions": {"edge": {"v1": {"path": "/edge/client/v1", "apiBaseUrls": [base]}}},
            "capabilities": capabilities,
        }),
    )
}

fn enroll(shared: &Shared, state: &mut State, asked: &Asked) -> Answer {
    if asked.field("method").is_some_and(|method| method != "ott") {
        return refused(400, "INVALID_ENROLLMENT_METHOD");
    }
    let (token, request) = match serde_json::from_slice::<Value>(&asked.body) {
        Ok(json) => {
            let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
            (
                text("token"),
                text("clientCsr").unwrap_or_default().into_bytes(),
            )
        }
        Err(_) => (asked.field("token"), asked.body.clone()),
    };
    let Some(id) = token.and_then(|token| state.tokens.remove(&token)) else {
        return refused(404, "INVALID_ENROLLMENT_TOKEN");
    };
    match shared.pki.sign(&request, &id) {
        Some(pem) if state.behaviour.plain_pem => Answer::text("application/x-pem-file", pem),
        Some(pem) => data(200, &json!({"cert": pem, "ca": shared.pki.ca_pem()})),
        None => refused(400, "COULD_NOT_PROCESS_CSR"),
    }
}

fn authenticate(state: &mut State, identity: Option<&str>) -> Answer {
    let Some(id) = identity.filter(|id| state.identities.contains_key(*id)) else {
        return refused(401, "INVALID_AUTH");
    };
    state.counts.log_ins += 1;
    let token = format!("api-session-{}", state.next());
    state.log_ins.insert(token.clone(), id.to_owned());
    data(200, &api_session(state, &token, id))
}

fn identity_of(state: &State, id: &str) -> Value {
    json!({
        "id": id, "name": state.identities.get(id), "entity": "identities", "_links": {}, "tags": {},
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
    })
}

fn api_session(state: &State, token: &str, id: &str) -> Value {
    json!({
        "id": token, "token": token, "identity": identity_of(state, id), "identityId": id,
        "expiresAt": "2099-01-01T00:00:00.000Z", "expirationSeconds": 1800,
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
        "lastActivityAt": "2026-01-01T00:00:00.000Z", "cachedLastActivityAt": "2026-01-01T00:00:00.000Z",
        "authQueries": [], "configTypes": [], "ipAddress": "127.0.0.1", "_links": {}, "tags": {},
        "authenticatorId": "cert", "isMfaRequired": false, "isMfaComplete": false, "isCertExtendable": true,
    })
}

fn services(state: &State, asked: &Asked) -> Answer {
    let number = |name: &str| {
        asked
            .field(name)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let (offset, mut limit) = (
        number("offset").unwrap_or(0),
        number("limit").unwrap_or(100),
    );
    if state.behaviour.small_pages {
        limit = 1;
    }
    let filter = asked.field("filter");
    let wanted = filter
        .as_deref()
        .and_then(|filter| filter.strip_prefix("name=\""));
    // With small pages the filter is ignored, so that there is something to look through.
    let wanted = wanted.filter(|_| !state.behaviour.small_pages);
    let wanted = wanted.map(|name| name.trim_end_matches('"'));
    let all: Vec<_> = state
        .services
        .iter()
        .filter(|service| wanted.is_none_or(|name| service.name == name))
        .collect();
    let page: Vec<_> = all
        .iter()
        .skip(offset)
        .take(limit)
        .map(|service| {
            // For clients that know services by host and port.
            let intercept = json!({"intercept.v1": {
                "protocols": ["tcp"], "addresses": [format!("{}.ziti", service.name)],
                "portRanges": [{"low": 1, "high": 65535}],
            }});
            json!({
                "id": service.id, "name": service.name, "encryptionRequired": service.encrypted,
                "permissions": permissions(&service.name), "postureQueries": [], "config": intercept, "configs": [],
                "roleAttributes": [], "terminatorStrategy": "smartrouting", "_links": {}, "tags": {},
                "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
            })
        })
        .collect();
    let pagination = json!({"limit": limit, "offset": offset, "totalCount": all.len()});
    Answer::json(
        200,
        &json!({"data": page, "meta": {"pagination": pagination, "filterableFields": []}}),
    )
}

/// Services say by their names what is allowed.
fn permissions(service: &str) -> Vec<&'static str> {
    match service {
        "forbidden" => vec![],
        "dial-only" => vec!["Dial"],
        _ => vec!["Dial", "Bind"],
    }
}

fn routers(state: &State) -> Value {
    let routers = state
        .routers
        .iter()
        .enumerate()
        .map(|(at, (address, online))| {
            let url = format!("tls://{address}");
            json!({
                "id": format!("r{at}"), "name": format!("router-{at}"), "hostname": address.ip().to_string(),
                "supportedProtocols": {"tls": url}, "urls": {"tls": url}, "isOnline": online,
                "syncStatus": "SYNC_DONE", "cost": 0, "noTraversal": false, "disabled": false,
                "_links": {}, "tags": {}, "appData": {},
                "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
            })
        });
    routers.collect()
}

fn session(state: &mut State, asked: &Asked, who: &str) -> Answer {
    let json: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let service = json["serviceId"].as_str().unwrap_or_default();
    let Some(found) = state.services.iter().find(|found| found.id == service) else {
        return refused(404, "NOT_FOUND");
    };
    let bind = json["type"] == "Bind";
    if !permissions(&found.name).contains(&if bind { "Bind" } else { "Dial" }) {
        return refused(409, "CONFLICT");
    }
    let session = Session {
        identity: who.to_owned(),
        service: service.to_owned(),
        bind,
    };
    state.counts.sessions += 1;
    let token = format!("session-{}", state.next());
    state.sessions.insert(token.clone(), session.clone());
    data(201, &session_json(state, &token, &session))
}

fn session_json(state: &State, token: &str, session: &Session) -> Value {
    json!({
        "id": token, "token": token, "type": if session.bind { "Bind" } else { "Dial" },
        "serviceId": session.service, "service": {"id": session.service, "entity": "services", "_links": {}},
        "edgeRouters": routers(state), "apiSessionId": "x", "identityId": session.identity,
        "apiSession": {"id": "x", "_links": {}}, "_links": {}, "tags": {},
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
    })
}

fn oidc(
    shared: &Shared,
    state: &mut State,
    asked: &Asked,
    path: &str,
    identity: Option<&str>,
) -> Option<Answer> {
    let field = |name: &str| asked.field(name).unwrap_or_default();
    Some(match (asked.method.as_str(), path) {
        ("GET", "/oidc/.well-known/openid-configuration") => {
            let base = format!("{}/oidc", shared.url());
            let json = json!({
                "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
                "token_endpoint": format!("{base}/oauth/token"),
            });
            Answer::json(200, &json)
        }
        ("GET", "/oidc/authorize") => {
            assert_eq!(field("client_id"), "native");
            assert_eq!(field("code_challenge_method"), "S256");
            assert_eq!(field("scope"), "openid offline_access");
            let id = format!("request-{}", state.next());
            let begun = Begun {
                state: field("state"),
                challenge: field("code_challenge"),
                redirect: field("redirect_uri"),
                identity: None,
            };
            state.oidc.requests.insert(id.clone(), begun);
            Answer::redirect(format!("/oidc/login/username?authRequestID={id}"))
        }
        ("POST", "/oidc/login/cert") => {
            let known = identity.filter(|id| state.identities.contains_key(*id));
            let begun = state.oidc.requests.get_mut(&field("id"));
            let (Some(identity), Some(begun)) = (known, begun) else {
                return Some(refused(401, "INVALID_AUTH"));
            };
            begun.identity = Some(identity.to_owned());
            state.counts.log_ins += 1;
            Answer::redirect(format!("/oidc/authorize/callback?id={}", field("id")))
        }
        ("GET", "/oidc/authorize/callback") => {
            let begun = state.oidc.requests.get(&field("id")).cloned()?;
            let code = format!("code+{}", state.next());
            state
                .oidc
                .codes
                .insert(code.clone(), (field("id"), begun.identity?));
            let code = code.replace('+', "%2B");
            Answer::redirect(format!(
                "{}?code={code}&state={}",
                begun.redirect, begun.state
            ))
        }
        ("POST", "/oidc/oauth/token") => {
            let identity = match field("grant_type").as_str() {
                "refresh_token" => {
                    state.counts.refreshed += 1;
                    state.oidc.refresh.get(&field("refresh_token")).cloned()
                }
                _ => {
                    let code = state.oidc.codes.remove(&field("code"));
                    let challenge = Sha256::digest(field("code_verifier"));
                    let challenge = URL_SAFE_NO_PAD.encode(challenge);
                    code.and_then(|(request, identity)| {
                        let begun = state.oidc.requests.remove(&request)?;
                        (begun.challenge == challenge).then_some(identity)
                    })
                }
            };
            let Some(identity) = identity else {
                return Some(Answer::json(400, &json!({"error": "invalid_grant"})));
            };
            let access = format!("access.{}.token", state.next());
            let refresh = format!("refresh-{}", state.next());
            state.log_ins.insert(access.clone(), identity.clone());
            state.oidc.refresh.insert(refresh.clone(), identity);
            let json = json!({
                "access_token": access, "refresh_token": refresh, "token_type": "Bearer",
                "expires_in": state.behaviour.expires_in.unwrap_or(1800),
            });
            Answer::json(200, &json)
        }
        _ => return None,
    })
}
