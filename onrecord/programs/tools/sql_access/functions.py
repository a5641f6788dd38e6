"""The functions that a model's SQL may call, in SQLite and in PostgreSQL.

What stands here computes from its arguments alone, or reads the clock. Everything else is refused:
what reads or writes files and settings, opens connections, sleeps, takes locks, runs SQL from a
text, or tells about the server. Of PostgreSQL's, those that make a large text of a small one
(`repeat`, `lpad`, `format`) are not here either: nothing bounds them there.
"""

from __future__ import annotations

_BOTH = """
    abs acos asin atan atan2 avg ceil ceiling coalesce concat concat_ws cos count cume_dist degrees
    dense_rank exp first_value floor lag last_value lead length ln log log10 lower ltrim max min mod
    nth_value ntile nullif octet_length percent_rank pi pow power radians rank replace round
    row_number rtrim sign sin sqrt string_agg substr substring sum tan trim trunc upper
"""

_SQLITE = """
    acosh asinh atanh bm25 char cosh date datetime format glob group_concat hex highlight ifnull iif
    instr json json_array json_array_length json_each json_extract json_group_array
    json_group_object json_object json_quote json_tree json_type json_valid julianday like log2
    match printf quote random regexp sinh snippet soundex strftime tanh time timediff total typeof
    unhex unicode unixepoch
"""

_POSTGRESQL = """
    age any_value array
    array_agg array_length array_position array_positions array_to_string array_upper
    array_lower ascii bit_and bit_or bool_and bool_or btrim cardinality cbrt char_length
    character_length chr clock_timestamp corr covar_pop covar_samp date_bin date_part date_trunc
    div every factorial gcd generate_series greatest grouping initcap isfinite json_agg
    json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_each json_each_text json_extract_path json_extract_path_text
    json_object_agg json_object_keys json_typeof jsonb_agg jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each
    jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_object_keys
    jsonb_path_exists jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_typeof
    justify_days justify_hours justify_interval lcm least left make_date make_interval make_time
    make_timestamp md5 mode now num_nonnulls num_nulls numnode percentile_cont percentile_disc
    phraseto_tsquery plainto_tsquery position random regexp_count regexp_like regexp_match
    regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regr_intercept regr_r2
    regr_slope reverse right row row_to_json scale split_part starts_with statement_timestamp stddev
    stddev_pop stddev_samp string_to_array string_to_table strpos to_char to_date to_json to_jsonb
    to_number to_timestamp to_tsquery to_tsvector transaction_timestamp translate ts_headline
    ts_rank unnest var_pop var_samp variance websearch_to_tsquery width_bucket
"""

SQLITE = frozenset((_BOTH + _SQLITE).split())
POSTGRESQL = frozenset((_BOTH + _POSTGRESQL).split())
