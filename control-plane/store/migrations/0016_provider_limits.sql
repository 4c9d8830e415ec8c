-- What the platform's own account at a provider may be asked for in any minute, by the whole fleet; null is no limit.
alter table providers add column requests_per_minute bigint;
alter table providers add column tokens_per_minute bigint;
