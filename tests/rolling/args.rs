//! The command line.

const USAGE: &str = "\
usage: ./test rolling [--rounds N] [--connectors N] [--channels N]
  --rounds N      every node is restarted so often, 1 unless given
  --connectors N  2 unless given, at least 2
  --channels N    2 unless given
Each node is told to end (SIGTERM) and started again, one after the other, while devices send, read, and watch who
is online; on a real ZooKeeper and a real Cassandra. The last line is rounds=N lost=N duplicated=N offline_seen=N:
violations of what is promised, messages stored or shown twice, and how often somebody who was online all the time
was shown as offline. All three are 0, or the exit code is 1.";

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    pub rounds: usize,
    pub connectors: usize,
    pub channels: usize,
}

impl Args {
    /// Reads the words behind the program's name; `Err` is for the person who typed them.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut args = Args { rounds: 1, connectors: 2, channels: 2 };
        while let Some(word) = words.next() {
            let (target, least) = match word.as_str() {
                "--rounds" => (&mut args.rounds, 1),
                "--connectors" => (&mut args.connectors, 2),
                "--channels" => (&mut args.channels, 1),
                "--help" | "-h" => return Err(USAGE.to_owned()),
                other => return Err(format!("{other:?} is unknown\n{USAGE}")),
            };
            let number = words.next().and_then(|word| word.parse().ok()).filter(|number| *number >= least);
            *target = number.ok_or_else(|| format!("{word} wants a number from {least} on\n{USAGE}"))?;
        }
        Ok(args)
    }
}
