//! Devices and users.

use futures::{StreamExt, TryStreamExt, stream};

use super::request::Bound;
use super::value::Value;
use super::{Driver, Found};
use crate::cql::tables::{CasError, Reading};
use crate::directory::{DeviceKey, UserInfo};

use super::error::corrupt;

/// Rows looked up at once for one call.
pub(super) const LOOKS_AT_ONCE: usize = 32;

fn names(key: &DeviceKey) -> [Value<'_>; 4] {
    let device_type = Value::Small(i16::from(key.device_type));
    [Value::Text(&key.tenant), Value::Text(&key.user), device_type, Value::Text(&key.installation)]
}

impl Driver {
    pub(super) async fn read_device(&self, key: &DeviceKey, reading: Reading) -> Found<Option<u64>> {
        let all = &self.statements;
        let row: Option<(Option<i64>,)> = match reading {
            Reading::Quorum => self.requests.row(Bound::new(&all.device, names(key))).await?,
            Reading::Serial => self.requests.serial_row(Bound::new(&all.device_serial, names(key))).await?,
        };
        Ok(row.and_then(|(id,)| id).map(i64::cast_unsigned))
    }

    pub(super) async fn try_claim(&self, id: u64, key: &DeviceKey) -> Result<DeviceKey, CasError> {
        let values = [&[Value::id(id)], &names(key)[..]].concat();
        let answer = self.requests.conditional(Bound::new(&self.statements.claim_id, values)).await?;
        if answer.is_applied {
            return Ok(key.clone());
        }
        let holder = || {
            Some(DeviceKey {
                tenant: answer.text("tenant")?.to_owned(),
                user: answer.text("user")?.to_owned(),
                device_type: answer.small("device_type")?.try_into().ok()?,
                installation: answer.text("installation")?.to_owned(),
            })
        };
        holder().ok_or_else(|| unreadable("who has the id"))
    }

    pub(super) async fn try_name(&self, key: &DeviceKey, id: u64) -> Result<u64, CasError> {
        let values = [&names(key)[..], &[Value::id(id)]].concat();
        let answer = self.requests.conditional(Bound::new(&self.statements.name_device, values)).await?;
        if answer.is_applied {
            return Ok(id);
        }
        answer.big("id").map(i64::cast_unsigned).ok_or_else(|| unreadable("which id the device has"))
    }

    pub(super) async fn read_last_device(&self, worker: u16) -> Found<Option<u64>> {
        let values = [Value::Int(i32::from(worker))];
        let row: Option<(Option<i64>,)> =
            self.requests.row(Bound::new(&self.statements.last_device, values)).await?;
        Ok(row.and_then(|(id,)| id).map(i64::cast_unsigned))
    }

    pub(super) async fn read_users(&self, tenant: &str, users: &[String]) -> Found<Vec<Option<UserInfo>>> {
        let look = |user: &'_ String| self.read_user(tenant.to_owned(), user.clone());
        let looks: Vec<_> = users.iter().map(look).collect();
        stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await
    }

    async fn read_user(&self, tenant: String, user: String) -> Found<Option<UserInfo>> {
        let values = [Value::Text(&tenant), Value::Text(&user)];
        let row: Option<(Option<String>, Option<i32>)> =
            self.requests.row(Bound::new(&self.statements.user, values)).await?;
        row.map(|(name, role)| info_of(&user, name, role)).transpose()
    }
}

pub(super) fn info_of(user: &str, name: Option<String>, role: Option<i32>) -> Found<UserInfo> {
    let role = role.unwrap_or_default();
    let role = role.try_into().map_err(|_| corrupt(format!("the role {role} of {user}")))?;
    Ok(UserInfo { name: name.unwrap_or_default(), role })
}

/// The condition was false, and the answer does not say why.
fn unreadable(what: &str) -> CasError {
    CasError::Unknown(format!("the store does not say {what}"))
}
