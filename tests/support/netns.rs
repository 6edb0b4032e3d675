//! A network of its own for the program under test: a namespace and a cable whose plug can be pulled.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

/// A namespace, deleted when it is dropped.
pub struct Netns {
    name: String,
    cable: String,
    /// The gateway's address inside.
    pub inside: IpAddr,
}

impl Netns {
    /// Makes one; `Err` says why that is not possible here.
    pub fn make() -> Result<Netns, String> {
        let number = std::process::id() % 0xFFFF;
        let (name, cable) = (format!("whimbrel{number}"), format!("wh{number}"));
        let (high, low) = ((number >> 8) as u8, (number & 0xFC) as u8);
        let address = |last| Ipv4Addr::new(10, 200 + high % 50, high, low + last);
        ip(&format!("netns add {name}"))?;
        let netns = Netns { inside: address(2).into(), name, cable };
        let (name, cable) = (&netns.name, &netns.cable);
        ip(&format!("link add {cable} type veth peer name inside netns {name}"))?;
        ip(&format!("addr add {}/30 dev {cable}", address(1)))?;
        ip(&format!("link set {cable} up"))?;
        ip(&format!("-n {name} addr add {}/30 dev inside", netns.inside))?;
        ip(&format!("-n {name} link set inside up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        Ok(netns)
    }

    /// What a command is started with to run inside.
    pub fn prefix(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Pulls the plug: every packet is lost, and nobody is told.
    pub fn unplug(&self) {
        ip(&format!("-n {} route add blackhole default metric 1", self.name)).ok();
        ip(&format!("link set {} down", self.cable)).expect("the cable is there");
    }

    /// Delay and loss on both ends of the cable, by tc netem; `Err` says why that is not possible here.
    pub fn netem(&self, what: &str) -> Result<(), String> {
        let outside = format!("qdisc replace dev {} root netem {what}", self.cable);
        let inside = format!("-n {} qdisc replace dev inside root netem {what}", self.name);
        run("tc", &outside).and_then(|()| run("tc", &inside))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The cable goes with the namespace.
        _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &str) -> Result<(), String> {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    Err(format!("{program} {arguments}: {said}"))
}
