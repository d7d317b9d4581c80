//! The plan as people read it: every resource with its mark, the fields that differ, and what could not be looked at.
use super::Plan;
use crate::change::Change;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut phase = None;
        for one in self.planned.iter().filter(|one| one.chosen) {
            if phase != Some(&one.phase) {
                writeln!(f, "{}{}", if phase.is_some() { "\n" } else { "" }, one.phase)?;
                phase = Some(&one.phase);
            }
            write!(f, "  {} {}", one.change.mark(), one.id)?;
            match &one.change {
                Change::Unknown(why) | Change::Refused(crate::Refusal { why, .. }) => {
                    writeln!(f, "  ({}: {})", one.change.word(), why.lines().next().unwrap_or_default())?;
                }
                _ => writeln!(f)?,
            }
            for field in one.change.fields() {
                writeln!(f, "      {}", field.to_string().replace('\n', "\n      "))?;
            }
            if let Change::Refused(refusal) = &one.change {
                writeln!(f, "      next: {}", refusal.next.replace('\n', "\n      "))?;
            }
        }
        Ok(())
    }
}
