//! What a controller is asked, and what its answers mean.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::edge::printable;
use super::error::ZitiError;
use super::url::{Origin, encoded, query_value};

/// How many entries a list is asked for at once.
pub(crate) const PAGE: usize = 500;
/// Where the log-in by OIDC would end, if it were in a browser. Never dialed.
const REDIRECT: &str = "http://localhost:8080/auth/callback";
const CLIENT: &str = "native";

/// A request of HTTP.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, Zeroizing<String>)>,
    pub(crate) body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

/// An answer of HTTP; the names of headers are lowercase.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            headers: vec![("accept", Zeroizing::new("application/json".to_owned()))],
            body: None,
        }
    }

    pub(crate) fn post(
        path: impl Into<String>,
        kind: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            method: "POST",
            body: Some((kind, Zeroizing::new(body.into()))),
            ..Self::get(path)
        }
    }

    fn json(path: impl Into<String>, body: &Value) -> Self {
        Self::post(path, "application/json", body.to_string())
    }

    /// The same on behalf of whoever logged in.
    pub(crate) fn by(mut self, access: &Access) -> Self {
        self.headers.push(access.header());
        self
    }

    pub(crate) fn bytes(&self, origin: &Origin) -> Zeroizing<Vec<u8>> {
        let mut head = Zeroizing::new(format!(
            "{} {} HTTP/1.1\r\nhost: {origin}\r\nconnection: close\r\nuser-agent: salt-transport\r\n",
            self.method, self.path
        ));
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        if let Some((kind, body)) = &self.body {
            head.push_str(&format!(
                "content-type: {kind}\r\ncontent-length: {}\r\n",
                body.len()
            ));
        }
        head.push_str("\r\n");
        let body = self.body.as_ref().map_or(&[][..], |(_, body)| body);
        Zeroizing::new([head.as_bytes(), body].concat())
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The answer's JSON, or why there is none.
    fn json(&self, call: &'static str) -> Result<Value, ZitiError> {
        if !(200..300).contains(&self.status) {
            return Err(self.refusal(call));
        }
        serde_json::from_slice(&self.body).map_err(|_| ZitiError::answer(call, "no JSON"))
    }

    /// Why the controller refused.
    pub(crate) fn refusal(&self, call: &'static str) -> ZitiError {
        let error = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        // OIDC's own errors are flat.
        let nested = error.get("error").filter(|error| error.is_object());
        let (code, message) = match nested {
            Some(error) => (text(error, "code"), text(error, "message")),
            None => (text(&error, "error"), text(&error, "error_description")),
        };
        ZitiError::Refused {
            call,
            status: self.status,
            code: printable(code.unwrap_or_default()),
            message: printable(message.unwrap_or_default()),
        }
    }

    /// The part `data` of the answer's JSON.
    fn data(&self, call: &'static str) -> Result<Value, ZitiError> {
        let mut json = self.json(call)?;
        let data = json.get_mut("data").map(Value::take);
        data.ok_or_else(|| ZitiError::answer(call, "no `data`"))
    }
}

fn text<'a>(json: &'a Value, name: &str) -> Option<&'a str> {
    json.get(name)?.as_str()
}

/// A text that goes into heads and messages: nothing may hide in it.
fn token(
    json: &Value,
    name: &'static str,
    call: &'static str,
) -> Result<Zeroizing<String>, ZitiError> {
    let found = text(json, name).filter(|token| {
        !token.is_empty() && token.len() <= 16 * 1024 && token.bytes().all(|b| b.is_ascii_graphic())
    });
    let found = found.ok_or_else(|| ZitiError::answer(call, format!("no `{name}`")))?;
    Ok(Zeroizing::new(found.to_owned()))
}

/// Proof that we logged in. Never shown.
#[derive(Clone)]
pub(crate) enum Access {
    /// A session of the controller.
    Legacy(Zeroizing<String>),
    /// A signed token, and what renews it.
    Bearer {
        access: Zeroizing<String>,
        refresh: Option<Zeroizing<String>>,
    },
}

impl Access {
    fn header(&self) -> (&'static str, Zeroizing<String>) {
        match self {
            Self::Legacy(token) => ("zt-session", token.clone()),
            Self::Bearer { access, .. } => (
                "authorization",
                Zeroizing::new(format!("Bearer {}", access.as_str())),
            ),
        }
    }

    /// What a router is greeted with.
    pub(crate) fn token(&self) -> &str {
        match self {
            Self::Legacy(token) => token,
            Self::Bearer { access, .. } => access,
        }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Legacy(_) => "Legacy",
            Self::Bearer { .. } => "Bearer",
        })
    }
}

/// What a controller offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Before every path.
    pub(crate) prefix: String,
    pub(crate) oidc: bool,
}

impl Version {
    pub(crate) fn ask() -> Request {
        Request::get("/version")
    }

    pub(crate) fn read(answer: &Response) -> Result<Self, ZitiError> {
        let data = answer.data("version")?;
        let path = data
            .pointer("/apiVersions/edge/v1/path")
            .and_then(Value::as_str);
        let path = path.unwrap_or("/edge/client/v1").trim_end_matches('/');
        let fine =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_');
        if !path.starts_with('/') || !path.bytes().all(fine) {
            return Err(ZitiError::answer("version", "a broken path"));
        }
        let capabilities = data.get("capabilities").and_then(Value::as_array);
        let oidc = capabilities.is_some_and(|all| all.iter().any(|one| one == "OIDC_AUTH"));
        Ok(Self {
            prefix: path.to_owned(),
            oidc,
        })
    }
}

/// A log-in that worked.
#[derive(Debug)]
pub(crate) struct LogIn {
    pub(crate) access: Access,
    /// After how long it has to be renewed.
    pub(crate) renew: Duration,
    /// Who we are, if the controller said so.
    pub(crate) name: Option<String>,
}

/// Renewed at half of its time, at least every half hour, at most every ten seconds.
fn renewal(seconds: Option<&Value>) -> Duration {
    let seconds = seconds.and_then(Value::as_u64).unwrap_or(1800);
    Duration::from_secs((seconds / 2).clamp(10, 1800))
}

/// Logs in with the certificate of the TLS beneath.
pub(crate) fn authenticate(prefix: &str) -> Request {
    let body = json!({
        "sdkInfo": {"type": "salt-transport", "version": env!("CARGO_PKG_VERSION")},
        "envInfo": {"os": std::env::consts::OS, "arch": std::env::consts::ARCH},
        "configTypes": [],
    });
    Request::json(format!("{prefix}/authenticate?method=cert"), &body)
}

pub(crate) fn authenticated(answer: &Response) -> Result<LogIn, ZitiError> {
    let call = "log-in";
    let data = answer.data(call)?;
    let queries = data.get("authQueries").and_then(Value::as_array);
    if queries.is_some_and(|queries| !queries.is_empty()) {
        return Err(ZitiError::Unsupported(
            "the overlay wants a second factor".to_owned(),
        ));
    }
    Ok(LogIn {
        access: Access::Legacy(token(&data, "token", call)?),
        renew: renewal(data.get("expirationSeconds")),
        name: data
            .pointer("/identity/name")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}

pub(crate) fn current_session(prefix: &str) -> Request {
    Request::get(format!("{prefix}/current-api-session"))
}

/// Whether the session lives, and for how long.
pub(crate) fn still_logged_in(answer: &Response) -> Result<Duration, ZitiError> {
    let data = answer.data("session")?;
    Ok(renewal(data.get("expirationSeconds")))
}

/// A service of the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) encrypted: bool,
    pub(crate) dial: bool,
    pub(crate) bind: bool,
}

/// A page of a list, and how many entries there are in all.
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<T>,
    pub(crate) received: usize,
    pub(crate) total: usize,
}

/// Services with this name, from the `offset`th on.
pub(crate) fn services(prefix: &str, name: &str, offset: usize) -> Result<Request, ZitiError> {
    // It goes into a filter between quotes.
    if name.is_empty() || name.contains(['"', '\\']) || name.chars().any(char::is_control) {
        return Err(ZitiError::ServiceUnknown(printable(name)));
    }
    let filter = encoded(&format!("name=\"{name}\""));
    Ok(Request::get(format!(
        "{prefix}/services?limit={PAGE}&offset={offset}&filter={filter}"
    )))
}

pub(crate) fn services_in(answer: &Response) -> Result<Page<Service>, ZitiError> {
    let call = "services";
    let json = answer.json(call)?;
    let data = json.get("data").and_then(Value::as_array);
    let data = data.ok_or_else(|| ZitiError::answer(call, "no `data`"))?;
    let total = json
        .pointer("/meta/pagination/totalCount")
        .and_then(Value::as_u64);
    let total = total.and_then(|total| usize::try_from(total).ok());
    Ok(Page {
        entries: data.iter().filter_map(service).collect(),
        received: data.len(),
        total: total.unwrap_or(data.len()),
    })
}

fn service(json: &Value) -> Option<Service> {
    let permissions = json.get("permissions").and_then(Value::as_array);
    let may = |what: &str| permissions.is_some_and(|all| all.iter().any(|one| one == what));
    Some(Service {
        id: text(json, "id")?.to_owned(),
        name: text(json, "name")?.to_owned(),
        // Encryption is what a service has that says nothing of it.
        encrypted: json
            .get("encryptionRequired")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        dial: may("Dial"),
        bind: may("Bind"),
    })
}

pub(crate) fn service_updates(prefix: &str) -> Request {
    Request::get(format!("{prefix}/current-api-session/service-updates"))
}

/// When anything changed: compared, never understood.
pub(crate) fn last_change(answer: &Response) -> Result<String, ZitiError> {
    let data = answer.data("service updates")?;
    Ok(text(&data, "lastChangeAt").unwrap_or_default().to_owned())
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    Dial,
    Bind,
}

/// The right to use a service, and the routers to do it by.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) token: Zeroizing<String>,
    pub(crate) routers: Vec<Origin>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("routers", &self.routers)
            .finish_non_exhaustive()
    }
}

pub(crate) fn session(prefix: &str, service: &str, what: Use) -> Request {
    let kind = match what {
        Use::Dial => "Dial",
        Use::Bind => "Bind",
    };
    Request::json(
        format!("{prefix}/sessions"),
        &json!({"serviceId": service, "type": kind}),
    )
}

pub(crate) fn session_in(answer: &Response) -> Result<Session, ZitiError> {
    let call = "session";
    let data = answer.data(call)?;
    Ok(Session {
        id: text(&data, "id").unwrap_or_default().to_owned(),
        token: token(&data, "token", call)?,
        routers: routers(&data),
    })
}

/// Asks for the routers of a session again.
pub(crate) fn session_again(prefix: &str, id: &str) -> Request {
    Request::get(format!("{prefix}/sessions/{}", encoded(id)))
}

pub(crate) fn routers_of(answer: &Response) -> Result<Vec<Origin>, ZitiError> {
    Ok(routers(&answer.data("session")?))
}

fn routers(session: &Value) -> Vec<Origin> {
    let all = session.get("edgeRouters").and_then(Value::as_array);
    let online = all
        .into_iter()
        .flatten()
        .filter(|router| router.get("isOnline").and_then(Value::as_bool) != Some(false));
    let mut routers = Vec::new();
    for router in online {
        // Older controllers have it in `urls`.
        let address = ["/supportedProtocols/tls", "/urls/tls"]
            .into_iter()
            .find_map(|path| router.pointer(path)?.as_str());
        if let Some(origin) = address.and_then(Origin::tls)
            && !routers.contains(&origin)
            && routers.len() < 64
        {
            routers.push(origin);
        }
    }
    routers
}

/// Random texts of one log-in by OIDC: 16 bytes each of state and nonce, 32 of the verifier.
pub(crate) struct Pkce {
    pub(crate) state: String,
    nonce: String,
    verifier: Zeroizing<String>,
}

impl Pkce {
    pub(crate) fn from_random(random: &[u8; 64]) -> Self {
        let (state, rest) = random.split_at(16);
        let (nonce, verifier) = rest.split_at(16);
        Self {
            state: URL_SAFE_NO_PAD.encode(state),
            nonce: URL_SAFE_NO_PAD.encode(nonce),
            verifier: Zeroizing::new(URL_SAFE_NO_PAD.encode(verifier)),
        }
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }
}

/// Where a log-in by OIDC is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Oidc {
    pub(crate) authorize: (Origin, String),
    pub(crate) token: (Origin, String),
}

impl Oidc {
    pub(crate) fn discover() -> Request {
        Request::get("/oidc/.well-known/openid-configuration")
    }

    pub(crate) fn read(answer: &Response) -> Result<Self, ZitiError> {
        let call = "OIDC discovery";
        let json = answer.json(call)?;
        let end_point = |name: &str| {
            let (origin, path) = text(&json, name).and_then(Origin::https)?;
            let fine = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
            fine.then(|| (origin, path.to_owned()))
        };
        match (
            end_point("authorization_endpoint"),
            end_point("token_endpoint"),
        ) {
            (Some(authorize), Some(token)) => Ok(Self { authorize, token }),
            _ => Err(ZitiError::answer(call, "no end points")),
        }
    }

    pub(crate) fn begin(&self, pkce: &Pkce) -> Request {
        Request::get(format!(
            "{}?client_id={CLIENT}&response_type=code&scope={}&state={}&nonce={}\
             &code_challenge={}&code_challenge_method=S256&redirect_uri={}",
            self.authorize.1,
            encoded("openid offline_access"),
            pkce.state,
            pkce.nonce,
            pkce.challenge(),
            encoded(REDIRECT),
        ))
    }

    /// The log-in by certificate, for the request that was begun.
    pub(crate) fn log_in(&self, begun: &Response) -> Result<Request, ZitiError> {
        let call = "OIDC authorize";
        if !(200..400).contains(&begun.status) {
            begun.json(call)?;
        }
        let of_location = || {
            let (_, query) = begun.header("location")?.split_once('?')?;
            query_value(query, "authRequestID").or_else(|| query_value(query, "id"))
        };
        let id = begun.header("auth-request-id").map(str::to_owned);
        let id = id
            .or_else(of_location)
            .ok_or_else(|| ZitiError::answer(call, "no id"))?;
        let path = self
            .authorize
            .1
            .strip_suffix("/authorize")
            .unwrap_or("/oidc");
        let body = authenticate("").body;
        let mut request = Request::get(format!("{path}/login/cert?id={}", encoded(&id)));
        request.method = "POST";
        request.body = body;
        Ok(request)
    }

    /// What to do after an answer of the log-in.
    pub(crate) fn next(&self, answer: &Response, pkce: &Pkce) -> Result<Step, ZitiError> {
        let call = "OIDC log-in";
        if !(300..400).contains(&answer.status) {
            let json = answer.json(call)?;
            let queries = json
                .get("authQueries")
                .or_else(|| json.pointer("/data/authQueries"));
            return Err(if queries.is_some() {
                ZitiError::Unsupported("the overlay wants a second factor".to_owned())
            } else {
                ZitiError::answer(call, "no redirect")
            });
        }
        let location = answer.header("location").unwrap_or_default();
        if let Some(query) = location
            .strip_prefix(REDIRECT)
            .and_then(|rest| rest.strip_prefix('?'))
        {
            let state = query_value(query, "state");
            if state.as_deref() != Some(&pkce.state) {
                return Err(ZitiError::answer(call, "another's state"));
            }
            if let Some(error) = query_value(query, "error") {
                return Err(ZitiError::Refused {
                    call,
                    status: answer.status,
                    code: printable(&error),
                    message: String::new(),
                });
            }
            let code = query_value(query, "code");
            let code = code.ok_or_else(|| ZitiError::answer(call, "no code"))?;
            return Ok(Step::Code(Zeroizing::new(code)));
        }
        let path = match Origin::https(location) {
            Some((origin, path)) if origin == self.authorize.0 => path,
            Some(_) => return Err(ZitiError::answer(call, "a redirect to another server")),
            None => location,
        };
        if !path.starts_with('/')
            || path.starts_with("//")
            || !path.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(ZitiError::answer(call, "a redirect elsewhere"));
        }
        Ok(Step::Follow(Request::get(path)))
    }

    /// Trades the code for tokens.
    pub(crate) fn trade(&self, code: &str, pkce: &Pkce) -> Request {
        let form = format!(
            "grant_type=authorization_code&code={}&code_verifier={}&client_id={CLIENT}&redirect_uri={}",
            encoded(code),
            encoded(&pkce.verifier),
            encoded(REDIRECT),
        );
        Request::post(
            self.token.1.clone(),
            "application/x-www-form-urlencoded",
            form,
        )
    }

    /// Trades the refresh token for new tokens.
    pub(crate) fn renew(&self, refresh: &str) -> Request {
        let form = format!(
            "grant_type=refresh_token&refresh_token={}&client_id={CLIENT}",
            encoded(refresh)
        );
        Request::post(
            self.token.1.clone(),
            "application/x-www-form-urlencoded",
            form,
        )
    }

    pub(crate) fn tokens(answer: &Response) -> Result<LogIn, ZitiError> {
        let call = "OIDC token";
        let json = answer.json(call)?;
        Ok(LogIn {
            access: Access::Bearer {
                access: token(&json, "access_token", call)?,
                refresh: token(&json, "refresh_token", call).ok(),
            },
            renew: renewal(json.get("expires_in")),
            name: None,
        })
    }
}

/// One step of the log-in by OIDC.
pub(crate) enum Step {
    Follow(Request),
    Code(Zeroizing<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &Value) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }

    fn redirect(to: &str) -> Response {
        Response {
            status: 302,
            headers: vec![("location".to_owned(), to.to_owned())],
            body: Vec::new(),
        }
    }

    fn origin() -> Origin {
        Origin::https("https://c:1280").unwrap().0
    }

    #[test]
    fn requests_are_written_as_http_has_them() {
        let access = Access::Legacy(Zeroizing::new("tok".to_owned()));
        let request = session("/p", "svc", Use::Bind).by(&access);
        let bytes = request.bytes(&origin());
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("POST /p/sessions HTTP/1.1\r\nhost: c:1280\r\n"));
        assert!(text.contains("\r\nzt-session: tok\r\n"));
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, json!({"serviceId": "svc", "type": "Bind"}));
    }

    #[test]
    fn versions_tell_where_the_calls_are() {
        let data = json!({"data": {
            "apiVersions": {"edge": {"v1": {"path": "/edge/client/v1/"}}},
            "capabilities": ["OIDC_AUTH"],
        }});
        let version = Version::read(&answer(200, &data)).unwrap();
        assert_eq!(
            (version.prefix.as_str(), version.oidc),
            ("/edge/client/v1", true)
        );
        let evil = json!({"data": {"apiVersions": {"edge": {"v1": {"path": "/x\r\ny: z"}}}}});
        assert!(Version::read(&answer(200, &evil)).is_err());
    }

    #[test]
    fn log_ins_give_a_token_and_when_to_renew_it() {
        let data = json!({"data": {"token": "tok", "expirationSeconds": 600,
            "identity": {"id": "i", "name": "web-1"}, "authQueries": []}});
        let log_in = authenticated(&answer(200, &data)).unwrap();
        assert_eq!(log_in.access.token(), "tok");
        assert_eq!(log_in.renew, Duration::from_secs(300));
        assert_eq!(log_in.name.as_deref(), Some("web-1"));
        // N-06
        assert!(!format!("{log_in:?}").contains("tok"));
    }

    #[test]
    fn second_factors_are_refused_with_a_clear_word() {
        let data = json!({"data": {"token": "tok", "authQueries": [{"typeId": "MFA"}]}});
        let refused = authenticated(&answer(200, &data));
        assert!(matches!(refused, Err(ZitiError::Unsupported(_))));
    }

    #[test]
    fn a_refusal_says_the_controllers_words() {
        let data = json!({"error": {"code": "INVALID_AUTH", "message": "no\r\nsuch identity"}});
        let refused = authenticated(&answer(401, &data)).unwrap_err();
        assert!(refused.is_logged_out());
        assert_eq!(
            refused.to_string(),
            "the controller refused (log-in, status 401): INVALID_AUTH nosuch identity"
        );
        let bare = answer(502, &Value::Null);
        assert!(matches!(
            authenticated(&bare),
            Err(ZitiError::Refused { status: 502, .. })
        ));
    }

    #[test]
    fn tokens_that_would_break_a_head_are_refused() {
        for token in ["", "a\r\nb", "a b", "ä"] {
            let data = json!({"data": {"token": token}});
            assert!(authenticated(&answer(200, &data)).is_err(), "{token:?}");
        }
    }

    #[test]
    fn services_are_asked_for_by_name_and_read_page_by_page() {
        let request = services("/p", "salt publish", 500).unwrap();
        assert_eq!(
            request.path,
            "/p/services?limit=500&offset=500&filter=name%3D%22salt%20publish%22"
        );
        for name in ["", "a\"b", "a\nb"] {
            assert!(services("/p", name, 0).is_err());
        }
        let data = json!({"data": [
            {"id": "1", "name": "a", "encryptionRequired": false, "permissions": ["Dial"]},
            {"id": "2", "name": "b", "permissions": ["Bind", "Dial"]},
            {"name": "no id"},
        ], "meta": {"pagination": {"totalCount": 7}}});
        let page = services_in(&answer(200, &data)).unwrap();
        assert_eq!((page.entries.len(), page.received, page.total), (2, 3, 7));
        assert!(!page.entries[0].encrypted && page.entries[0].dial && !page.entries[0].bind);
        assert!(page.entries[1].encrypted && page.entries[1].bind);
    }

    #[test]
    fn sessions_name_the_routers_that_are_there() {
        let data = json!({"data": {"id": "s", "token": "tok", "edgeRouters": [
            {"supportedProtocols": {"tls": "tls://r1:3022"}, "isOnline": true},
            {"urls": {"tls": "tls://r2:1"}},
            {"supportedProtocols": {"tls": "tls://r3:1"}, "isOnline": false},
            {"supportedProtocols": {"ws": "ws://r4:1"}},
            {"supportedProtocols": {"tls": "tls://r1:3022"}},
        ]}});
        let session = session_in(&answer(201, &data)).unwrap();
        let routers: Vec<_> = session.routers.iter().map(Origin::to_string).collect();
        assert_eq!(routers, ["r1:3022", "r2:1"]);
        assert!(!format!("{session:?}").contains("tok"));
    }

    fn oidc() -> Oidc {
        let json = json!({"authorization_endpoint": "https://c:1280/oidc/authorize",
            "token_endpoint": "https://c:1280/oidc/oauth/token"});
        Oidc::read(&answer(200, &json)).unwrap()
    }

    #[test]
    fn pkce_is_that_of_rfc_7636() {
        // Its appendix B.
        let mut random = [0; 64];
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        random[32..].copy_from_slice(&URL_SAFE_NO_PAD.decode(verifier).unwrap());
        let pkce = Pkce::from_random(&random);
        assert_eq!(pkce.verifier.as_str(), verifier);
        assert_eq!(
            pkce.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn a_log_in_by_oidc_ends_at_the_redirect_with_our_state() {
        let (oidc, pkce) = (oidc(), Pkce::from_random(&[9; 64]));
        let begun = redirect("/login?authRequestID=r%201");
        assert_eq!(
            oidc.log_in(&begun).unwrap().path,
            "/oidc/login/cert?id=r%201"
        );

        let follow = redirect("https://c:1280/oidc/authorize/callback?id=1");
        assert!(
            matches!(oidc.next(&follow, &pkce), Ok(Step::Follow(request)) if request.path == "/oidc/authorize/callback?id=1")
        );
        let end = redirect(&format!("{REDIRECT}?code=c%2B1&state={}", pkce.state));
        assert!(matches!(oidc.next(&end, &pkce), Ok(Step::Code(code)) if code.as_str() == "c+1"));
    }

    #[test]
    fn redirects_elsewhere_and_others_states_are_refused() {
        let (oidc, pkce) = (oidc(), Pkce::from_random(&[9; 64]));
        for location in [
            "https://other:1280/x",
            "http://c:1280/x",
            "//other/x",
            "",
            &format!("{REDIRECT}?code=c&state=other"),
            &format!("{REDIRECT}?code=c"),
            &format!("{REDIRECT}?state={}", pkce.state),
            &format!("{REDIRECT}?error=denied&state={}", pkce.state),
        ] {
            assert!(oidc.next(&redirect(location), &pkce).is_err(), "{location}");
        }
    }
}
