//! A minimal PostgreSQL protocol client. It detects that a server is ready and runs scripts, so that only the server
//! itself need be installed.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::Error;

const PROTOCOL_3_0: i32 = 196_608;
const MAX_MESSAGE: usize = 1 << 20;

/// A connection that is ready for a statement.
pub(crate) struct Connection(UnixStream);

impl Connection {
    /// Opens a connection without a password. `limit` bounds each wait for the server.
    pub(crate) fn open(socket: &Path, user: &str, database: &str, limit: Duration) -> Result<Self, Error> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let mut connection = Self(stream);
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        for text in ["user", user, "database", database, ""] {
            body.extend(text.as_bytes());
            body.push(0);
        }
        connection.send(None, &body)?;
        connection.wait_idle()?;
        Ok(connection)
    }

    /// Runs statements separated by `;` as one transaction.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<(), Error> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.wait_idle()
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), Error> {
        let length =
            i32::try_from(body.len() + 4).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.extend(body);
        Ok(self.0.write_all(&message)?)
    }

    fn wait_idle(&mut self) -> Result<(), Error> {
        let mut refused = None;
        loop {
            let (kind, body) = match self.receive() {
                Ok(message) => message,
                // After a fatal error the server closes the connection instead of reporting that it is ready.
                Err(error) => return Err(refused.unwrap_or(error)),
            };
            match kind {
                b'E' => refused = refused.or(Some(Error::Sql(error_text(&body)))),
                b'Z' => return refused.map_or(Ok(()), Err),
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), Error> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        if !(4..=MAX_MESSAGE).contains(&length) {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        }
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body)?;
        Ok((kind, body))
    }
}

/// Returns severity and message of an error from its fields: a letter, a text, a zero byte.
fn error_text(body: &[u8]) -> String {
    let field = |letter: u8| {
        let text = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[letter]));
        String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
    };
    format!("{} {}: {}", field(b'S'), field(b'C'), field(b'M'))
}

#[cfg(test)]
mod tests {
    use super::error_text;

    #[test]
    fn error_keeps_severity_code_and_message() {
        let body = b"SERROR\0VERROR\0C42601\0Msyntax error\0P8\0\0";
        assert_eq!(error_text(body), "ERROR 42601: syntax error");
    }
}
