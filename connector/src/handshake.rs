//! From the first byte to a logged-in device: preface, Hello, token, route.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use protocol::check::{self, Refused};
use protocol::code::Code;
use protocol::frame::{self, Frame, Peek};
use protocol::limit::MAX_HELLO_BYTES;
use protocol::preface::PREFACE;
use protocol::v1::{ClientFrame, Hello, client_frame};
use protocol::version;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::attach::{self, Admission, Refusal};
use crate::attachment::Attachment;
use crate::core::Core;
use crate::resume::resume;
use crate::transport::{Transport, code_of};

/// How long the channel node may take to admit a device.
const ATTACH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What a usual Hello with its token needs.
const HELLO_BUFFER: usize = 1024;

/// A device that may go on, with what it sent after its Hello.
pub(crate) struct LoggedIn {
    pub attachment: Attachment,
    pub rest: BytesMut,
}

/// Why there is no login.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Tell the device and close.
    Refused(Refusal),
    /// The device is gone; there is nobody to tell.
    Gone,
}

impl<R: Into<Refused>> From<R> for Failed {
    fn from(refused: R) -> Self {
        Failed::Refused(Refusal::from(refused.into()))
    }
}

/// Reads the Hello, checks it and has the owner of its user admit the device.
pub(crate) async fn handshake<T: Transport>(
    io: &mut T,
    core: &Arc<Core>,
    with_preface: bool,
    remote: String,
) -> Result<LoggedIn, Failed> {
    let mut input = BytesMut::with_capacity(HELLO_BUFFER);
    let hello = tokio::time::timeout(core.config.hello_timeout, read_hello(io, &mut input, with_preface))
        .await
        .map_err(|_| Failed::from(Code::HELLO_TIMEOUT))??;
    let version = version::agree(hello.version_min, hello.version_max).ok_or(Code::UNSUPPORTED_VERSION)?;
    check::installation(&hello.installation)?;
    if hello.device_type > 3 {
        return Err(check::invalid("device_type must be 0 to 3").into());
    }
    let verified = core.verifier.verify(&hello.token, core.clock.unix_millis())?;
    let admission = Admission {
        identity: verified.identity,
        expires_ms: verified.expires_ms,
        hello,
        version,
        transport: io.kind(),
        remote,
    };
    let attachment = match resume(core, &admission) {
        Ok(attachment) => attachment,
        Err(outcome) => tokio::time::timeout(ATTACH_TIMEOUT, attach::attach(core, admission, outcome))
            .await
            .map_err(|_| Failed::from(Code::UNAVAILABLE))?
            .map_err(Failed::Refused)?,
    };
    // An idle connection keeps no buffer.
    let rest = if input.is_empty() { BytesMut::new() } else { input };
    Ok(LoggedIn { attachment, rest })
}

async fn read_hello<T: AsyncRead + Unpin>(
    io: &mut T,
    input: &mut BytesMut,
    with_preface: bool,
) -> Result<Hello, Failed> {
    if with_preface {
        read_until(io, input, PREFACE.len(), |bytes| {
            let known = bytes.len().min(PREFACE.len());
            if bytes[..known] == PREFACE[..known] { Ok(()) } else { Err(Code::BAD_PREFACE) }
        })
        .await?;
        input.advance(PREFACE.len());
    }
    let frame = loop {
        match frame::peek(input, MAX_HELLO_BYTES).map_err(|error| error.code())? {
            Peek::Whole(length) => break frame::open(input.split_to(length).freeze()),
            Peek::Needs(length) => read_until(io, input, length, |_| Ok(())).await?,
        }
    };
    hello_of(frame.map_err(|error| error.code())?)
}

fn hello_of(frame: Frame) -> Result<Hello, Failed> {
    let first = frame.messages::<ClientFrame>().next();
    match first.ok_or(Code::HELLO_EXPECTED)?.map_err(|error| error.code())?.body {
        Some(client_frame::Body::Hello(hello)) => Ok(hello),
        _ => Err(Code::HELLO_EXPECTED.into()),
    }
}

/// Reads until `input` holds `length` bytes, looking at what is there after every read.
async fn read_until<T: AsyncRead + Unpin>(
    io: &mut T,
    input: &mut BytesMut,
    length: usize,
    look: impl Fn(&[u8]) -> Result<(), Code>,
) -> Result<(), Failed> {
    while input.len() < length {
        let read = io.read_buf(input).await.map_err(failed_io)?;
        look(input)?;
        if read == 0 {
            return Err(if input.is_empty() { Failed::Gone } else { Code::TRUNCATED.into() });
        }
    }
    Ok(())
}

fn failed_io(error: io::Error) -> Failed {
    code_of(&error).map_or(Failed::Gone, Failed::from)
}
