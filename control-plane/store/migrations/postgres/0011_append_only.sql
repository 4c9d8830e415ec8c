-- What was written in the ledger stays as it was written.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed', tg_table_name;
end
$$;

create trigger entries_keep before update or delete on entries for each row execute function refuse_change();
create trigger entries_stay before truncate on entries for each statement execute function refuse_change();
create trigger legs_keep before update or delete on legs for each row execute function refuse_change();
create trigger legs_stay before truncate on legs for each statement execute function refuse_change();
create trigger prices_keep before update on prices for each row execute function refuse_change();
