-- Letters that were spoken, for speech that is billed by them.
alter table usage add column characters bigint not null default 0;
