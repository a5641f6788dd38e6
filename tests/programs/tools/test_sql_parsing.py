# ruff: noqa: E501  # a statement a line
"""The first wall lets by what a model may well ask, and means the same by it."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onrecord.errors import OnrecordError, UsageError
from onrecord.programs.tools.sql_access.answer import Bounds
from onrecord.programs.tools.sql_access.parsing import Allowed, Name, checked
from onrecord.programs.tools.sql_tool import _opened
from tests.programs.tools.sql_shops import READABLE, SECRET, Shop
from tests.programs.tools.test_sql_hostile import REFUSED, statements

BOTH = r"""
    select * from orders order by id
    select count(*) as n, sum(total) s, avg(total), min(placed), max(placed) from orders
    SELECT status, COUNT(*) AS n FROM orders GROUP BY status HAVING COUNT(*) > 1 ORDER BY n DESC, 1
    select distinct status from orders order by 1 desc limit 2 offset 1
    select o.id, c.name from orders o join customers c on c.id = o.customer_id order by o.id
    select c.name, count(o.id) from customers c left join orders o on o.customer_id = c.id group by c.name order by 1
    select * from orders as o inner join customers as c on o.customer_id = c.id and c.city is not null order by 1
    select name from customers where id not in (select customer_id from orders where status = 'open') order by 1
    select name from customers c where exists (select 1 from orders o where o.customer_id = c.id) order by 1
    select name from customers where not (city is null or name like 'B%') order by name
    select id, case when total > 50 then 'big' when total > 5 then 'mid' else 'small' end as size from orders order by id
    select case status when 'paid' then 1 else 0 end from orders order by id
    with big as (select * from orders where total > 5), few as (select id from big) select * from few order by id
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select * from n order by 1
    with recursive n(i) as (values (1) union all select i * 2 from n where i < 100) select i from n order by i desc
    with customers as (select id from orders) select count(*) from customers
    select id from orders union select id from customers union all select 7 order by 1
    select id from orders except select id from customers order by 1
    select id from orders intersect select id from customers order by 1
    select id, row_number() over (partition by customer_id order by total desc) from orders order by id
    select id, sum(total) over (order by id rows between 1 preceding and current row) from orders order by id
    select id, rank() over w, lag(total, 1) over w from orders window w as (order by total) order by id
    select coalesce(city, 'none'), upper(name), lower(name), length(name), substr(name, 1, 2) from customers order by id
    select replace(name, 'n', 'm'), trim('  x '), name || '-' || id from customers order by id
    select round(total, 1), abs(-total), cast(total as integer) from orders order by id
    select -id, +id, id % 2, id * 2 - 1, (id + 1) * 3, id / 2 from orders order by id
    select id from orders where total between 1 and 50 and status in ('paid', 'open') order by id
    select id from orders where placed >= '2026-02-01' and placed < '2026-03-01' order by id
    select "Its Value" from "Odd Name"
    select count(distinct customer_id), count(*) filter (where status = 'paid') from orders
    select max(n) from (select count(*) as n from orders group by customer_id) as counted
    select a.id, b.id from orders a cross join customers b where a.id = b.id order by 1
    select id, nullif(status, 'open') from orders order by id
    select 'it''s', 'semi;colon', '-- no comment', '/* nor this */', ''
    select 1 as "select", 2 as "two words"
    select id -- the key\n from orders /* all of them */ order by id
    select id from orders where status <> 'paid' and id != 4 and not id = 3 order by id
    values (1, 'a'), (2, 'b')
    select id from orders where (customer_id, status) in (select customer_id, 'paid' from orders) order by id
    select 1 where 'Ünal' in (select name from customers)
    select sum(case when status = 'paid' then total else 0 end) / count(*) from orders
    select * from paid order by id
    SELECT ID FROM ORDERS WHERE STATUS LIKE 'p\_%' ESCAPE '\' ORDER BY ID;
    select 0.5, .5, 1e2, 10, null, true, false
    select orders.id, orders.total from orders where orders.customer_id = 1 order by orders.id
    select cast(id as varchar(10)), cast('2' as bigint), cast(total as real) from orders order by id
"""
SQLITE = r"""
    select strftime('%Y-%m', placed) as month, sum(total) from orders group by month order by month
    select date('2026-01-31', '+1 month'), datetime('2026-01-01', 'start of month'), julianday('2026-01-01')
    select ifnull(city, '?'), iif(id > 1, 'a', 'b'), instr(name, 'n'), typeof(id) from customers order by id
    select group_concat(name, ', ') from customers
    select json_extract('{"a": [1, 2]}', '$.a[1]'), '{"a": 1}' ->> '$.a', json_array(1, 2), '{"b": 2}' -> 'b'
    select value from json_each('[3, 4]') order by value
    select printf('%05.2f', total), total from orders where total glob '*' order by id
    select [id], `name` from customers order by [id]
    select id from orders order by total desc nulls last limit 1, 2
    select name from customers where name like 'a%' collate nocase order by name collate nocase
    select x'00ff', 1 == 1, 5 & 3, 5 | 3, ~5, 1 << 3, 0x1F
    select unicode('a'), char(65, 66), hex('a'), quote('it''s'), total(total) from orders
    select * from main.orders order by main.orders.id
    select id from orders where status is not 'x'
    select max(id, 0) from orders order by id
    select id is 1, id is not null from orders order by id
    select name from customers where city isnull order by 1
"""
POSTGRESQL = r"""
    select date_trunc('month', placed)::date as month, sum(total) from orders group by 1 order by 1
    select extract(year from placed), extract(epoch from placed)::int, date_part('day', placed) from orders order by id
    select placed + interval '1 month', placed - 1, age('2026-02-01'::timestamp, '2026-01-01') from orders order by id
    select to_char(placed, 'YYYY-MM-DD'), to_char(total, 'FM999.00') from orders order by id
    select string_agg(name, ', ' order by name desc), array_agg(id order by id) from customers
    select distinct on (customer_id) customer_id, total from orders order by customer_id, total desc nulls last
    select id from orders order by id fetch first 2 rows only
    select name from customers where name ilike 'a%' or name ~ '^B' or name ~* '^ü' order by 1
    select name from customers where name !~ 'n' order by 1
    select percentile_cont(0.5) within group (order by total) from orders
    select * from generate_series(1, 3) as g(n)
    select g.n from generate_series('2026-01-01'::date, '2026-01-03', interval '1 day') as g(n)
    select '{"a": {"b": 1}}'::jsonb -> 'a' ->> 'b', '{"a": 1}'::jsonb @> '{"a": 1}', '{"a": 1}'::jsonb ? 'a'
    select '{"a": {"b": 1}}'::jsonb #>> '{a,b}', jsonb_array_length('[1, 2]'::jsonb)
    select id = any(array[1, 2]), id in (1, 2), array[1, 2, 3] from orders order by id
    select c.name, l.total from customers c left join lateral (select total from orders o where o.customer_id = c.id order by total desc limit 1) l on true order by 1
    select status, customer_id, count(*) from orders group by rollup (status, customer_id) order by 1, 2
    select status, count(*) from orders group by grouping sets ((status), ()) order by 1
    select substring(name from 1 for 2), position('n' in name), trim(both 'A' from name), left(name, 1), split_part('a-b', '-', 2) from customers order by id
    select regexp_replace(name, 'n+', 'm', 'g'), initcap('ab cd'), reverse(name), md5('x') from customers order by id
    select greatest(1, 2), least(1, 2), concat(name, '-', id), concat_ws('/', name, city) from customers order by id
    select * from public.orders order by public.orders.id
    select "id", Orders.TOTAL from Orders order by "id"
    select total::numeric(10, 1)::text, total::double precision, id::bigint from orders order by id
    select bool_and(id > 0), bool_or(id > 3), stddev(total) is not null from orders
    select ceil(1.2), floor(1.8), mod(5, 3), power(2, 3), sqrt(4), 7 / 2, 7 / 2.0, 2 ^ 3, 5 # 1
    select id from orders where placed between date '2026-02-01' and date '2026-02-28' order by 1
    select id from orders where placed > timestamp '2026-02-01 00:00:00' order by 1
    select unnest(array['a', 'b'])
    select $$dollar 'quoted'$$, $tag$another$tag$, 'back\slash'
    select id from orders where status is distinct from 'paid' order by id
    with big as materialized (select id from orders) select count(*) from big
    select timestamp '2026-01-01 12:00' at time zone 'UTC' is not null, cast('12:30' as time)
    select (select count(*) from orders o where o.customer_id = c.id) as n, c.* from customers c order by c.id
"""


def test_what_is_run_means_what_was_written(shop: Shop) -> None:
    database = _opened(shop.url, READABLE, None)
    own = SQLITE if shop.kind == "sqlite" else POSTGRESQL
    wrong = []
    for statement in statements(BOTH + own):
        try:
            made = checked(statement, database.dialect, database.allowed)
        except UsageError as refused:
            wrong.append((statement, str(refused)))
            continue
        meant, done = shop.as_owner(statement), shop.as_owner(made)
        if meant != done or not meant.startswith("["):
            wrong.append((statement, made, meant, done))
    assert not wrong, "\n".join(map(str, wrong))


ORDERS = Allowed(frozenset({Name("public", "orders")}), "public")
"""One table of a database that need not be there."""


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_table_is_written_in_full_and_comments_are_gone(dialect: Any) -> None:
    made = checked("select /* a */ Id from ORDERS o -- b", dialect, ORDERS)
    assert made == 'SELECT Id FROM "public"."orders" AS o'


def test_names_are_read_as_each_database_reads_them() -> None:
    named = Allowed(frozenset({Name("public", "Orders")}), "public")
    assert checked("select 1 from oRDERS", "sqlite", named) == 'SELECT 1 FROM "public"."Orders"'
    assert checked('select 1 from "Orders"', "postgresql", named).endswith('"Orders"')
    for name in ("Orders", '"orders"', "ordersſ", "ＯRDERS"):
        with pytest.raises(UsageError, match="there is no table"):
            checked(f"select 1 from {name}", "postgresql", named)


def test_a_with_hides_no_table_from_where_it_does_not_reach() -> None:
    for text in (
        "select * from hidden where 1 in (with hidden as (select 1) select * from hidden)",
        "with a as (select * from hidden), hidden as (select 1) select * from a",
        "with hidden as (select * from hidden) select * from hidden",
        'with "Hidden" as (select 1) select * from hidden',
    ):
        with pytest.raises(UsageError, match="there is no table 'hidden'"):
            checked(text, "postgresql", ORDERS)
    made = checked("with Hidden as (select 1) select * from HIDDEN", "postgresql", ORDERS)
    assert made == 'WITH "hidden" AS (SELECT 1) SELECT * FROM "hidden"'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (" ; ", "empty"),
        ("-- nothing", "empty"),
        ("select 1; select 2", "more than one statement"),
        ("delete from orders", "not DELETE"),
        ("select * from orders for update", "FOR UPDATE"),
        ("select * from ordrs", "Did you mean 'orders'"),
        ("select lenght(id) from orders", "Did you mean 'length'"),
        ("select * from orders where", "cannot be read"),
        ("select from where (", "cannot be read"),
        ("select 'open", "cannot be read"),
        ("select * from orders where id = ?", "placeholder"),
        ("select 1_000 from orders", "no plain number"),
        ("select 1e1e1", "no plain number"),
        (r"select E'a\'; b'", "E'…'"),
        (r"select U&'\0027'", "U&'…'"),
        (r"select U&'\'' x' uescape '\'", "U&'…'"),
        ("select 1 union distinct select 2", "DISTINCT"),
        ("select 1 where 1 in orders", "IN takes a list or a query"),
        ("select " + "(" * 60 + "1" + ")" * 60, "nested too deeply"),
        ("select 1" + " + 1" * 5_000, "characters"),
        ("select 1" + "+1" * 1_500, "words and signs"),
        ("select " + "not " * 1_900 + "1", "nested too deeply"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as refused:
        checked(text, "postgresql", ORDERS)
    assert len(str(refused.value)) < 400 and "\x1b" not in str(refused.value)


def test_a_text_stays_the_text_that_it_was() -> None:
    for text in ("it''s", "''", "a'' || secret || ''", "back\\", "/* */", "--", "%s", ";", "$$"):
        for made in (f"SELECT '{text}'", f'SELECT x -> \'{text}\' FROM "public"."orders"'):
            assert checked(made, "postgresql", ORDERS) == made
            assert checked(made, "sqlite", ORDERS) == made
    assert checked("select $a$ ' $$ \\ $a$", "postgresql", ORDERS) == "SELECT ' '' $$ \\ '"


VOCABULARY = """
    select insert update delete drop table from into orders secrets customers where ( ) , ; ' " `
    -- /* */ /*! $$ $a$ \\ * = union all with recursive as values set pragma attach returning create
    view trigger begin commit exec call do copy to program lateral join on for limit 1 id total x'00'
    E'a' U&'a' || :: . [ ] :a ? @ \n \t \x00 \u00a0 \u200b pg_sleep(1) load_extension('x') count(*)
    lo_create(1) nextval('x') explain analyze vacuum replace truncate alter lock main. public. temp.
""".replace("\\n", "\n").split()
soup = st.lists(st.sampled_from(VOCABULARY), max_size=30).map(" ".join)
close = st.lists(st.sampled_from(VOCABULARY), max_size=10).map("".join)
listed = st.sampled_from(statements(REFUSED + BOTH))
joined = st.tuples(listed, st.sampled_from(["; ", " ", "\n", " union ", ") ", "/*", "--"]), listed)
spliced = st.tuples(listed, st.integers(0, 80), st.one_of(close, st.text(max_size=8))).map(
    lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]
)
texts = st.one_of(st.text(max_size=60), soup, close, listed, joined.map("".join), spliced)
slow = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150
)


@slow
@given(text=texts)
def test_no_text_that_passes_the_parser_writes(shop: Shop, text: str) -> None:
    database = _opened_once(shop)
    before = _content(shop)
    try:
        made = checked(text, database.dialect, database.allowed)
    except UsageError:
        return
    if "RECURSIVE" not in made:
        assert SECRET not in shop.as_owner(made)
        assert shop.content() == before


@slow
@given(text=texts)
def test_no_text_at_all_writes_past_the_database(shop: Shop, text: str) -> None:
    database = _opened_once(shop)
    before = _content(shop)
    try:
        answer = database.ask(text, Bounds(20, 0.1, 5_000))
    except OnrecordError as refused:
        answer = str(refused)
    assert SECRET not in answer
    assert shop.content() == before


@functools.lru_cache(maxsize=4)
def _content_of(owner: str, kind: str) -> Any:
    return Shop(kind, owner, owner).content()


def _content(shop: Shop) -> Any:
    return _content_of(shop.owner, shop.kind)


_databases: dict[str, Any] = {}


def _opened_once(shop: Shop) -> Any:
    if shop.url not in _databases:
        _databases[shop.url] = _opened(shop.url, READABLE, None)
    return _databases[shop.url]
