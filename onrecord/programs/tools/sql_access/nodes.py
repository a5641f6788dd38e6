"""What of SQL is known to read only: the kinds of nodes of a parsed query, as sqlglot names them.

Whatever stands here neither writes nor locks, and names no table but by a `Table`. What sqlglot
learns to read in a later release is refused until somebody has looked at it and put it here.
"""

from __future__ import annotations

from collections.abc import Iterable


def _kinds(*lines: str) -> Iterable[str]:
    return (each for line in lines for each in line.split())


OF_A_SELECT = frozenset(
    "with_ expressions from_ joins laterals where group having order limit offset distinct"
    " windows".split()
)
KNOWN = frozenset(
    _kinds(
        # What a query is made of.
        "Select Union Intersect Except Subquery Values With CTE From Join Where Group Having Order",
        "Ordered Limit Offset Fetch LimitOptions Distinct Window WindowSpec Filter WithinGroup",
        "Lateral Unnest Table TableAlias Alias Column ColumnDef Identifier Star Tuple Paren Rollup",
        "Cube GroupingSets Var",
        # Values and their types.
        "Literal Null Boolean HexString RawString National Array Bracket Slice Interval Cast",
        "DataType DataTypeParam AtTimeZone Collate JSONExtract JSONExtractScalar JSONBExtract",
        "JSONPath JSONPathRoot JSONPathKey JSONPathSubscript JSONBExtractScalar JSONBContains",
        "JSONBContainsTopKey JSONBContainsAnyTopKeys",
        "JSONBContainsAllTopKeys",
        # Operators.
        "And Or Not EQ NEQ GT GTE LT LTE Is In Between Like ILike SimilarTo Glob Match RegexpLike",
        "RegexpILike Escape NullSafeEQ NullSafeNEQ Exists Any All Add Sub Mul Div IntDiv Mod Neg",
        "Pow Sqrt Cbrt DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift",
        "BitwiseRightShift ArrayContainsAll ArrayContainedBy ArrayOverlaps",
        # Functions that have a grammar of their own; the others are Anonymous.
        "Anonymous Case If Extract Trim Substring StrPosition Overlay GroupConcat CurrentDate",
        "CurrentTime CurrentTimestamp Localtime Localtimestamp",
    )
)
TYPES = frozenset(
    _kinds(
        "BIGINT BIGDECIMAL BINARY BIT BLOB BOOLEAN CHAR DATE DATETIME DECIMAL DOUBLE FLOAT INT",
        "INTERVAL JSON JSONB MEDIUMINT NCHAR NUMERIC NVARCHAR REAL SMALLINT TEXT TIME TIMETZ",
        "TIMESTAMP TIMESTAMPTZ TINYINT UBIGINT UINT UUID VARBINARY VARCHAR ARRAY",
    )
)
WRITES = frozenset(
    "Insert Update Delete Merge Create Drop Alter Command Copy Set Pragma Attach Detach".split()
)
SAID = {
    "into": "SELECT INTO",
    "locks": "FOR UPDATE and FOR SHARE",
    "Dot": "a dot behind what is no table",
    "table": "this in the place of a table",
    "ByteString": "a text as E'…'",
    "UnicodeString": "a text as U&'…'",
}
MAY_BE_LOST = frozenset(
    "as asc inner outer isnull notnull some row rows only next first last nulls with"
    " without time zone varying precision interval default".split()
)
