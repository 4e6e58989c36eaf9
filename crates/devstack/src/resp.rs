//! The part of Redis's protocol that the setup of servers needs.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

/// Time-out of connecting and of each part of the response.
const LIMIT: Duration = Duration::from_secs(10);

/// Sends one command to a server on loopback. Returns the response as text, with each list element on its own line.
pub(crate) fn send_command(port: u16, words: &[&str]) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "*{}\r\n", words.len())?;
    for word in words {
        write!(stream, "${}\r\n{word}\r\n", word.len())?;
    }
    let mut lines = Vec::new();
    read(&mut BufReader::new(stream), &mut lines)?;
    Ok(lines.join("\n"))
}

fn read(answer: &mut impl BufRead, lines: &mut Vec<String>) -> io::Result<()> {
    let mut head = String::new();
    answer.read_line(&mut head)?;
    let (kind, rest) = head.trim_end().split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
    let count = || rest.parse::<i64>().map_err(io::Error::other);
    match kind {
        "-" => return Err(io::Error::other(rest.to_owned())),
        "$" => {
            let Ok(length) = usize::try_from(count()?) else { return Ok(()) };
            let mut bytes = vec![0; length + 2];
            answer.read_exact(&mut bytes)?;
            bytes.truncate(length);
            lines.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        "*" => {
            for _ in 0..count()? {
                read(answer, lines)?;
            }
        }
        _ => lines.push(rest.to_owned()),
    }
    Ok(())
}
