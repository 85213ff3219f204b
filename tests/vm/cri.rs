//! What kubelet says to containerd, said by a check: CRI is gRPC, and Debian 12 packages no client of
//! it. A call is a POST over HTTP/2, which curl speaks, of one protobuf message behind five bytes.
//!
//! Numbers of fields and methods are those of `runtime.v1` in Kubernetes' cri-api.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::guest::sh;

/// A protobuf message being written, or one that was read.
#[derive(Default, Clone)]
pub struct Message(Vec<u8>);

/// What a field has: a number, or bytes that are a text or a message.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Message {
    /// Adds a text, or a message in this one.
    pub fn with(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// Adds a number.
    pub fn with_number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// The text at a path of field numbers; what is not sent is empty.
    pub fn text(&self, path: &[u64]) -> String {
        match find(&self.0, path) {
            Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Some(Value::Number(number)) => panic!("{path:?} is {number}, and no text"),
            None => String::new(),
        }
    }

    /// The number at a path of field numbers; what is not sent is 0.
    pub fn number(&self, path: &[u64]) -> u64 {
        match find(&self.0, path) {
            Some(Value::Number(number)) => number,
            Some(Value::Bytes(_)) => panic!("{path:?} is no number"),
            None => 0,
        }
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn find<'a>(mut message: &'a [u8], path: &[u64]) -> Option<Value<'a>> {
    let (wanted, rest) = path.split_first()?;
    while !message.is_empty() {
        let tag = read_varint(&mut message);
        let value = match tag & 7 {
            0 => Value::Number(read_varint(&mut message)),
            2 => {
                let length = usize::try_from(read_varint(&mut message)).expect("a length");
                let (bytes, after) = message.split_at(length);
                message = after;
                Value::Bytes(bytes)
            }
            other => panic!("CRI has no fields of wire type {other}"),
        };
        match value {
            _ if tag >> 3 != *wanted => {}
            Value::Bytes(inner) if !rest.is_empty() => return find(inner, rest),
            value => return Some(value),
        }
    }
    None
}

fn read_varint(message: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = message.split_first().expect("a whole message");
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

/// One call, such as `RuntimeService/RunPodSandbox`: its answer, or why it was refused.
pub fn call(method: &str, request: &Message) -> Result<Message, String> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Calls may be under way at the same time.
    let file = format!("/tmp/cri-{}", CALLS.fetch_add(1, Ordering::Relaxed));
    let length = u32::try_from(request.0.len()).expect("a short message");
    let framed = [&[0], length.to_be_bytes().as_slice(), &request.0].concat();
    std::fs::write(format!("{file}.in"), framed).expect("/tmp can be written to");
    let done = sh(&format!(
        "curl -sS --max-time 120 --http2-prior-knowledge --unix-socket /run/containerd/containerd.sock \
         -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @{file}.in -o {file}.out -D - \
         http://localhost/runtime.v1.{method}"
    ));
    let answer = std::fs::read(format!("{file}.out")).unwrap_or_default();
    for end in ["in", "out"] {
        let _ = std::fs::remove_file(format!("{file}.{end}"));
    }
    // How it went is said in headers, after the message when there is one.
    if done.code != 0 || !done.out.lines().any(|line| line.trim() == "grpc-status: 0") {
        return Err(format!("{method}: {}{}", done.out, done.err));
    }
    Ok(Message(answer.get(5..).unwrap_or_default().to_vec()))
}
