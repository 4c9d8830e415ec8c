//! Who may do what: roles, actions and the one table that joins them.

use serde::{Deserialize, Serialize};

/// What a caller of the admin API is allowed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The operator of the installation.
    Root,
    Owner,
    Admin,
    Billing,
    Member,
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: &[Role] = &[Role::Root, Role::Owner, Role::Admin, Role::Billing, Role::Member, Role::Viewer];

    /// The word in books and messages.
    pub fn name(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Billing => "billing",
            Role::Member => "member",
            Role::Viewer => "viewer",
        }
    }

    /// The role with this word.
    pub fn parse(word: &str) -> Option<Role> {
        Role::ALL.iter().copied().find(|role| role.name() == word)
    }
}

macro_rules! actions {
    ($($name:ident $reach:ident [$($role:ident)*];)*) => {
        /// One thing a caller may ask for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($name),* }

        /// The permission table: an action, whether it concerns one organisation or the installation, and the roles
        /// that may do it. `Root` may do everything and is not listed.
        pub static PERMISSIONS: &[(Action, Reach, &[Role])] = &[$((Action::$name, Reach::$reach, &[$(Role::$role),*])),*];

        impl Action {
            /// The word in audit entries.
            pub fn name(self) -> &'static str {
                match self { $(Action::$name => stringify!($name)),* }
            }
        }
    };
}

/// What an action reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One organisation's rows.
    Org,
    /// Rows that all organisations share.
    Installation,
}

actions! {
    ListOrgs Installation [];
    ReadOrg Org [Owner Admin Billing Member Viewer];
    CreateOrg Installation [];
    UpdateOrg Org [Owner Admin];
    FreezeOrg Installation [];
    SetOrgPlan Installation [];
    ListKeys Org [Owner Admin Billing Member Viewer];
    CreateKey Org [Owner Admin];
    UpdateKey Org [Owner Admin];
    RevokeKey Org [Owner Admin];
    ReadCredits Org [Owner Admin Billing Viewer];
    GrantCredits Installation [];
    RefundCredits Installation [];
    ReadUsage Org [Owner Admin Billing Viewer];
    SimulateRoutes Org [Owner Admin Billing Viewer];
    CreateToken Org [Owner];
    ListTokens Org [Owner Admin];
    RevokeToken Org [Owner];
    ReadCatalog Installation [Owner Admin Billing Member Viewer];
    ChangeCatalog Installation [];
    Apply Installation [];
    ReadFleet Installation [];
    ReadAudit Org [Owner Admin];
    VerifyLedger Installation [];
    ReleaseQuarantine Installation [];
}

impl Action {
    /// What this action reaches.
    pub fn reach(self) -> Reach {
        PERMISSIONS.iter().find(|(action, ..)| *action == self).map_or(Reach::Installation, |(_, reach, _)| *reach)
    }
}

/// Whether `role` may do `action` within its own reach. Says nothing about which organisation: that is the scope's part.
pub fn may(role: Role, action: Action) -> bool {
    role == Role::Root || PERMISSIONS.iter().any(|(listed, _, roles)| *listed == action && roles.contains(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_and_catalogue_are_the_operators() {
        for role in Role::ALL.iter().copied().filter(|role| *role != Role::Root) {
            for action in [Action::GrantCredits, Action::ChangeCatalog, Action::CreateOrg, Action::ReleaseQuarantine] {
                assert!(!may(role, action), "{role:?} {action:?}");
            }
        }
        assert!(may(Role::Root, Action::GrantCredits));
    }

    #[test]
    fn viewers_change_nothing() {
        let allowed: Vec<_> =
            PERMISSIONS.iter().filter(|(_, _, roles)| roles.contains(&Role::Viewer)).map(|row| row.0).collect();
        assert_eq!(
            allowed,
            [
                Action::ReadOrg,
                Action::ListKeys,
                Action::ReadCredits,
                Action::ReadUsage,
                Action::SimulateRoutes,
                Action::ReadCatalog
            ]
        );
    }
}
