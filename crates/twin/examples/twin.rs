//! A twin of its own: `twin [api port] [control port] [file for the App's private key]`.

use std::{error::Error, io::Write, net::SocketAddr};

use twin::{Twin, TwinConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = |i: usize| -> Result<SocketAddr, Box<dyn Error>> {
        let port: u16 = args.get(i).map_or(Ok(0), |a| a.parse())?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    };
    let config = TwinConfig { listen: port(0)?, control_listen: Some(port(1)?), ..TwinConfig::default() };
    let (app, org, installation) = (config.app_id, config.org.clone(), config.installation_id);
    let twin = Twin::start(config).await?;
    if let (Some(path), Some(key)) = (args.get(2), twin.app_key()) {
        std::fs::write(path, key.private_pem())?;
    }
    let control = twin.control_url().unwrap_or_default();
    let mut out = std::io::stdout();
    writeln!(
        out,
        "api {}\ncontrol {control}\napp {app}\norg {org}\ninstallation {installation}",
        twin.url()
    )?;
    out.flush()?;
    std::future::pending().await
}
