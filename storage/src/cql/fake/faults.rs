//! What goes wrong, and how often.

use std::time::Duration;

/// Chances in a thousand, one for each operation. All zero: a cluster that is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The longest way there, and the longest way back.
    pub delay: Duration,
    /// Of a thousand operations so many take ten times as long: somebody stalls.
    pub stalls: u32,
    /// Nothing was sent: the caller knows that nothing is written.
    pub refused: u32,
    /// A conditional write never arrives, and nobody says so.
    pub lost: u32,
    /// A conditional write is still on its way when its time is up, and arrives later, perhaps much later.
    pub late: u32,
    /// Some replicas have accepted a conditional write, too few to decide: the next one completes it or makes it fail.
    pub pending: u32,
    /// A conditional write is applied, and the answer lost.
    pub unanswered: u32,
    /// A conditional write is applied by its first attempt, and the second says that its condition is false.
    pub disguised: u32,
    /// A plain write is answered with an error. What it wrote is there, comes later, or never does.
    pub write_fails: u32,
    pub read_fails: u32,
}

impl Faults {
    /// Everything at once.
    pub fn hostile() -> Faults {
        Faults {
            delay: Duration::from_millis(20),
            stalls: 30,
            refused: 20,
            lost: 20,
            late: 40,
            pending: 60,
            unanswered: 60,
            disguised: 60,
            write_fails: 60,
            read_fails: 20,
        }
    }
}

/// What becomes of one conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Normal,
    Refused,
    Lost,
    Late,
    Pending,
    Unanswered,
    Disguised,
}

impl Faults {
    /// Which of them a number below 1,000 falls upon.
    pub(super) fn fate(&self, number: u32) -> Fate {
        let chances = [
            (self.refused, Fate::Refused),
            (self.lost, Fate::Lost),
            (self.late, Fate::Late),
            (self.pending, Fate::Pending),
            (self.unanswered, Fate::Unanswered),
            (self.disguised, Fate::Disguised),
        ];
        let mut below = 0;
        for (chance, fate) in chances {
            below += chance;
            if number < below {
                return fate;
            }
        }
        Fate::Normal
    }
}
