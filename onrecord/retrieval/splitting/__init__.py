"""How documents become chunks: the default splitter, and the others behind the same protocol."""

from onrecord.retrieval.splitting.by_sentence import Sentences as Sentences
from onrecord.retrieval.splitting.fixed import FixedTokens as FixedTokens
from onrecord.retrieval.splitting.names import Options as Options
from onrecord.retrieval.splitting.names import by_name as by_name
from onrecord.retrieval.splitting.recursive import Recursive as Recursive
from onrecord.retrieval.splitting.sections import Sections as Sections
from onrecord.retrieval.splitting.semantic import Semantic as Semantic
from onrecord.retrieval.splitting.structure import Structure as Structure
