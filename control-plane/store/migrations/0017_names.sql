-- An organisation's own names for models, as JSON; null where it has none.
alter table orgs add column names text;
