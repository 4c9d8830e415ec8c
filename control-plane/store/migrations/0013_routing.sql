-- Rules of where requests may go, as JSON; null where none are set.
alter table orgs add column routing text;
alter table keys add column routing text;
