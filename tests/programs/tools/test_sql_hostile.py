# ruff: noqa: E501  # a statement a line
"""What a model must not be able to do, tried against each wall with the other one switched off.

REFUSED: the parser refuses it; run past the parser, the database refuses it or it does no harm.
BOUNDED: it only reads what it may, and the database ends it when its time or its room is over.
Some are written for one of the two databases and are tried in both.
"""

from __future__ import annotations

import pytest

from onrecord.errors import DeadlineError, OnrecordError, UsageError
from onrecord.programs.tools.sql_access.answer import Bounds
from onrecord.programs.tools.sql_access.parsing import checked
from onrecord.programs.tools.sql_tool import _opened
from tests.programs.tools.sql_shops import READABLE, SECRET, Shop

REFUSED = r"""
    insert into orders values (9, 1, 1, null, 'x')
    update orders set total = 0
    delete from orders
    replace into orders values (1, 1, 1, null, 'x')
    drop table orders
    alter table orders add column x int
    create table x (y int)
    create table x as select * from orders
    create view x as select * from secrets
    create temp table x as select * from secrets
    create trigger x after insert on orders begin delete from orders; end
    truncate orders
    merge into orders using customers on true when matched then delete
    insert into orders (id) values (10) returning id
    with gone as (delete from orders returning *) select * from gone
    with made as (insert into orders (id) values (11) returning *) select * from made
    with w as (update orders set total = 0 returning *) select 1
    with w as (select 1) delete from orders
    with w as (select 1) insert into orders (id) select 12
    select * into x from orders
    select * into temp x from orders
    select 1; drop table orders
    select 1; delete from orders; select 2
    select 1;; update orders set total = 0
    ; delete from orders
    select 1 /* ; */ ; /* */ delete from orders
    select 1 /* /* */ ; delete from orders; -- */ */
    /*! delete from orders */
    /*! */ delete from orders
    -- a comment\ndelete from orders
    --\rdelete from orders
    select 1 --\n; delete from orders
    select 'it''s' ; delete from orders --'
    select 'a\' ; delete from orders --'
    select $$a$$ ; delete from orders
    select $x$ ' $x$ ; delete from orders --'
    do $$ begin delete from orders; end $$
    select 1）; delete from orders
    ｄｅｌｅｔｅ from orders
    delete\u00a0from orders
    select 1\x00; delete from orders
    begin; delete from orders; commit
    commit; delete from orders
    rollback; delete from orders
    savepoint x
    set transaction read write; delete from orders
    set session characteristics as transaction read write
    set role none
    reset role
    reset all
    explain analyze delete from orders
    explain analyze select * from secrets
    explain query plan select * from secrets
    pragma query_only = off
    pragma writable_schema = 1
    pragma table_info(secrets)
    select * from pragma_table_info('secrets')
    select * from pragma_table_list
    attach database '/tmp/onrecord-attached.db' as other
    detach database main
    vacuum into '/tmp/onrecord-vacuumed.db'
    vacuum
    reindex
    analyze
    prepare x as delete from orders
    execute x
    declare c cursor with hold for select 1
    lock table orders
    listen x
    notify x
    copy secrets to '/tmp/onrecord-copied'
    copy orders from program 'touch /tmp/onrecord-program'
    copy (select 1) to program 'touch /tmp/onrecord-program'
    call x()
    load 'x'
    select * from orders for update
    select * from orders for share skip locked
    select * from secrets
    select * from SECRETS
    select * from "secrets"
    select * from [secrets]
    select * from `secrets`
    select * from main.secrets
    select * from public.secrets
    select * from "public"."secrets"
    select * from shop.public.secrets
    select * from only secrets
    select * from leak
    table secrets
    select 1 where exists (select 1 from secrets)
    select (select value from secrets) as v
    select * from orders where id in (select id from secrets)
    select * from orders where id in secrets
    select * from orders join secrets using (id)
    select * from orders natural join secrets
    select * from orders, lateral (select * from secrets) s
    select * from orders union select id, 1, 1, null, value from secrets
    (select 1 from orders) union all (select value from secrets)
    with secrets as (select * from secrets) select * from secrets
    with a as (select * from b), b as (select 1) select value from secrets, a
    with a as (select value from secrets) select * from a
    with a as (select * from secrets), secrets as (select 1) select * from a
    select * from secrets where 1 in (with secrets as (select 1) select * from secrets)
    with paid as (select * from secrets) select * from paid
    with paid as (select value as name, id as number from secrets) select * from paid, main.paid
    select secrets from secrets
    select count(*) from secrets
    select 1 from orders order by (select value from secrets)
    select 1 limit (select count(*) from secrets)
    select case when (select value from secrets) like 't%' then 1 end
    values ((select value from secrets))
    select * from sqlite_master
    select * from sqlite_schema
    select sql from main.sqlite_master
    select * from sqlite_temp_master
    select * from dbstat
    select * from pg_catalog.pg_class
    select * from pg_class
    select * from pg_shadow
    select * from pg_stat_activity
    select * from information_schema.tables
    select * from information_schema.columns where table_name = 'secrets'
    select pg_sleep(60)
    select pg_catalog.pg_sleep(60)
    select "pg_sleep"(60)
    select pg_sleep_for('1 minute')
    select * from pg_sleep(60)
    select pg_read_file('/etc/passwd')
    select * from pg_ls_dir('/')
    select pg_read_binary_file('/etc/passwd')
    select lo_import('/etc/passwd')
    select lo_export(1, '/tmp/onrecord-exported')
    select lo_from_bytea(0, 'x')
    select lo_create(4711)
    select dblink('host=127.0.0.1', 'select 1')
    select set_config('transaction_read_only', 'off', false)
    select set_config('role', 'none', false)
    select current_setting('data_directory')
    select pg_terminate_backend(pg_backend_pid())
    select pg_reload_conf()
    select pg_advisory_lock(1)
    select pg_notify('x', 'y')
    select nextval('x')
    select query_to_xml('select * from secrets', true, true, '')
    select table_to_xml('secrets', true, true, '')
    select database_to_xml(true, true, '')
    select has_table_privilege('secrets', 'select')
    select pg_get_viewdef('leak')
    select version()
    select current_user
    select 'secrets'::regclass
    select null::secrets
    select (row(1)).f1
    select repeat('x', 1000000000)
    select lpad('x', 1000000000)
    select load_extension('/tmp/x')
    select readfile('/etc/passwd')
    select writefile('/tmp/onrecord-written', 'x')
    select edit('x')
    select randomblob(1000000000)
    select zeroblob(1000000000)
    select fts3_tokenizer('simple')
    select sqlite_version()
    select last_insert_rowid()
    select 1 operator(pg_catalog.+) 1
    select ?
    select $1
    select :name
    select @x
    select %s
    show all
    help
    .read /etc/passwd
    .shell touch /tmp/onrecord-shell
"""

BOUNDED = r"""
    select E'a\'' ; delete from orders --'
    select format('%1000000000s', 'x')
    with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n
    with recursive n(i) as (select 1 union all select i + 1 from n) select * from n
    with recursive n(i) as (select 1 union all select i from n) select max(i) from n
    with recursive t(s) as (select 'x' union all select s || s from t) select max(length(s)) from t
    with recursive n(i) as (select 1 union all select i+1 from n where i < 3000) select count(*) from n a, n b, n c where a.i + b.i + c.i = 0
    with recursive n(i) as (select 1 union all select i + 1 from n) select i from n order by i desc
    select count(*) from generate_series(1, 100000000000)
    select string_agg(a::text, ',') from generate_series(1, 100000000000) a
    select 'x' like '%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a'
    select printf('%1000000000d', 1)
    select replace(replace(replace('xxxxxxxxxx', 'x', 'xxxxxxxxxxxxxxxxxxxx'), 'x', 'xxxxxxxxxxxxxxxxxxxxxxxx'), 'x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')
    select a.total from orders a, orders b, orders c, orders d, orders e, orders f, orders g
    select 1 from orders where regexp_like(repeat('a', 40), '(a+)+b')
    select 9223372036854775807 + 1
    select 1 / 0
    select name from paid
"""

BOUNDS = Bounds(rows=50, seconds=0.1, bytes=5_000)
TRACES = ("attached.db", "vacuumed.db", "copied", "program", "exported", "written", "shell")


def statements(text: str) -> list[str]:
    """The statements, one a line, with what is written as an escape."""
    kept = (line.strip() for line in text.strip("\n").split("\n"))
    escapes = {"\\n": "\n", "\\r": "\r", "\\u00a0": "\u00a0", "\\x00": "\x00"}
    return [_replaced(line, escapes) for line in kept if line]


def _replaced(text: str, escapes: dict[str, str]) -> str:
    for sign, meant in escapes.items():
        text = text.replace(sign, meant)
    return text


def test_there_are_as_many_as_were_asked_for() -> None:
    assert len(set(statements(REFUSED))) >= 60


@pytest.mark.parametrize("statement", statements(REFUSED))
def test_the_first_wall_refuses_it(shop: Shop, statement: str) -> None:
    database = _opened(shop.url, READABLE, None)
    with pytest.raises(UsageError) as refused:
        checked(statement, database.dialect, database.allowed)
    assert SECRET not in str(refused.value)


def test_the_second_wall_alone_keeps_all_of_it_out(shop: Shop) -> None:
    database = _opened(shop.url, READABLE, None)
    before, left = shop.content(), traces()
    tried: list[str] = []
    for statement in statements(REFUSED + BOUNDED):
        tried.append(statement)
        try:
            answer = database.ask(statement, BOUNDS)
        except OnrecordError as refused:
            answer = str(refused)
        assert SECRET not in answer, statement
        assert "root:" not in answer, statement
        assert len(answer.encode()) < BOUNDS.bytes + 500, statement
        if len(tried) == 25:
            assert shop.content() == before, tried
            tried.clear()
    assert shop.content() == before, tried
    assert traces() == left


@pytest.mark.parametrize("statement", statements(BOUNDED))
def test_what_only_reads_comes_to_an_end(shop: Shop, statement: str) -> None:
    database = _opened(shop.url, READABLE, None)
    before = shop.content()
    try:
        made = checked(statement, database.dialect, database.allowed)
        answer = database.ask(made, BOUNDS)
        assert len(answer.encode()) < BOUNDS.bytes + 500
    except (UsageError, DeadlineError) as refused:
        assert str(refused)
    assert shop.content() == before


def test_what_the_first_wall_lets_by_does_no_harm_without_the_second(shop: Shop) -> None:
    database = _opened(shop.url, READABLE, None)
    before = shop.content()
    for statement in statements(REFUSED + BOUNDED):
        try:
            made = checked(statement, database.dialect, database.allowed)
        except UsageError:
            continue
        if "recursive" not in made.lower() and "generate_series" not in made:
            assert SECRET not in shop.as_owner(made)
            assert shop.content() == before


def traces() -> list[bool]:
    from pathlib import Path

    return [Path(f"/tmp/onrecord-{each}").exists() for each in TRACES]
