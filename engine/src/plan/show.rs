//! The plan as people read it: every resource with its mark, the fields that differ, and what could not be looked at.
use super::Plan;
use crate::change::Change;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut phase = None;
        for planned in self.planned.iter().filter(|planned| planned.chosen) {
            if phase != Some(&planned.phase) {
                writeln!(f, "{}{}", if phase.is_some() { "\n" } else { "" }, planned.phase)?;
                phase = Some(&planned.phase);
            }
            write!(f, "  {} {}", planned.change.mark(), planned.id)?;
            match &planned.change {
                Change::Unknown(why) | Change::Refused(crate::Refusal { why, .. }) => {
                    writeln!(f, "  ({}: {})", planned.change.word(), why.lines().next().unwrap_or_default())?;
                }
                _ => writeln!(f)?,
            }
            for field in planned.change.fields() {
                writeln!(f, "      {}", field.to_string().replace('\n', "\n      "))?;
            }
            if let Change::Refused(refusal) = &planned.change {
                writeln!(f, "      next: {}", refusal.next.replace('\n', "\n      "))?;
            }
        }
        Ok(())
    }
}
