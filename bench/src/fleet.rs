//! Many devices, each of a user of its own: `u0`, `u1` and so on.

use std::ops::Range;

use anyhow::Context as _;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::access::Access;
use crate::load::plan::Transport;
use crate::wire::Device;

/// Logins under way at once.
const LOGINS: usize = 64;

/// The user of a device, as the run calls it.
pub fn user(number: usize) -> String {
    format!("u{number}")
}

/// Logs devices in, in no particular order.
pub async fn open(
    access: &Access,
    transport: Transport,
    numbers: Range<usize>,
) -> anyhow::Result<Vec<Device>> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} connections, {per_sec}")?;
    let progress = ProgressBar::new(numbers.len() as u64).with_style(style);
    let mut devices = Vec::with_capacity(numbers.len());
    // Both ends need one each; the gateway keeps 1,024 back.
    let enough = numbers.end + 1_100;
    let logins = numbers.map(|n| async move { Device::log_in(access, transport, &user(n)).await });
    let mut logins = futures::stream::iter(logins).buffer_unordered(LOGINS);
    while let Some(device) = logins.next().await {
        let opened = devices.len();
        devices.push(device.with_context(|| {
            format!(
                "after {opened} connections; if the limit on open files is too small, raise it (ulimit -n {enough}) or \
                 take fewer connections"
            )
        })?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(devices)
}
