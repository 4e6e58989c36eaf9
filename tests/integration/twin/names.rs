//! Host checks of servers without passwords: only names of the local machine are accepted.

use dev_issuer::{Issuer, IssuerConfig, PERSON_GRANT};
use github_twin::{Twin, TwinConfig};
use reqwest::StatusCode;

#[tokio::test]
async fn request_to_a_name_of_another_site_is_refused() {
    let control_listen = Some("127.0.0.1:0".parse().unwrap());
    let twin = Twin::start(TwinConfig { control_listen, ..TwinConfig::default() }).await.unwrap();
    let issuer = Issuer::start(IssuerConfig::default()).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().user_agent("test").build().unwrap();
    let control = twin.control_url().unwrap();
    for (base, path) in
        [(issuer.url(), "/jwks"), (twin.url(), "/meta"), (control.as_str(), "/ledger/summary")]
    {
        let port = base.rsplit(':').next().unwrap();
        let ask = |host: String| client.get(format!("{base}{path}")).header("host", host).send();
        for host in [format!("evil.example:{port}"), "evil.example".to_owned(), "127.0.0.1".to_owned()] {
            assert_eq!(
                ask(host.clone()).await.unwrap().status(),
                StatusCode::MISDIRECTED_REQUEST,
                "{base} {host}"
            );
        }
        for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
            assert_eq!(ask(host.clone()).await.unwrap().status(), StatusCode::OK, "{base} {host}");
        }
    }
    let token = client.post(format!("{}/token", issuer.url())).header("host", "evil.example");
    let body = format!("grant_type={PERSON_GRANT}&sub=ada");
    assert_eq!(token.body(body).send().await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(issuer.fetches().tokens, 0);
}
