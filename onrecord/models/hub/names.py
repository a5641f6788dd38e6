"""Names that models are found by on the Hub: tasks, licences and languages, and the closest one.

The tables are for a good error message and for offline use; they are not complete. What they do
not hold is looked up on the Hub itself before it is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

Noun = Literal["task", "license", "language"]

# The Hub's tags of tasks (`pipeline_tag`), November 2026.
TASKS = tuple(
    """
    any-to-any audio-classification audio-text-to-text audio-to-audio automatic-speech-recognition
    depth-estimation document-question-answering feature-extraction fill-mask graph-ml
    image-classification image-feature-extraction image-segmentation image-text-to-text
    image-to-3d image-to-image image-to-text image-to-video keypoint-detection mask-generation
    object-detection question-answering reinforcement-learning robotics sentence-similarity
    summarization table-question-answering tabular-classification tabular-regression
    text-classification text-generation text-ranking text-to-3d text-to-audio text-to-image
    text-to-speech text-to-video time-series-forecasting token-classification translation
    unconditional-image-generation video-classification video-text-to-text
    visual-document-retrieval visual-question-answering voice-activity-detection
    zero-shot-classification zero-shot-image-classification zero-shot-object-detection
    """.split()
)

# https://huggingface.co/docs/hub/repositories-licenses, November 2026.
LICENSES = tuple(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0
    epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl
    gpl gpl-2.0 gpl-3.0 grok2-community h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0
    lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa
    odbl odc-by ofl-1.1 openmdw-1.0 openmdw-1.1 openrail openrail++ osl-3.0 other pddl
    postgresql unknown unlicense wtfpl zlib
    """.split()
)

# ISO 639-1, and the Hub's `multilingual` and `code`.
LANGUAGES = {
    code: name.replace("_", " ")
    for code, name in (
        entry.split("=")
        for entry in """
        aa=Afar ab=Abkhazian ae=Avestan af=Afrikaans ak=Akan am=Amharic an=Aragonese ar=Arabic
        as=Assamese av=Avaric ay=Aymara az=Azerbaijani ba=Bashkir be=Belarusian bg=Bulgarian
        bi=Bislama bm=Bambara bn=Bengali bo=Tibetan br=Breton bs=Bosnian ca=Catalan ce=Chechen
        ch=Chamorro co=Corsican cr=Cree cs=Czech cu=Church_Slavonic cv=Chuvash cy=Welsh da=Danish
        de=German dv=Divehi dz=Dzongkha ee=Ewe el=Greek en=English eo=Esperanto es=Spanish
        et=Estonian eu=Basque fa=Persian ff=Fulah fi=Finnish fj=Fijian fo=Faroese fr=French
        fy=Western_Frisian ga=Irish gd=Scottish_Gaelic gl=Galician gn=Guarani gu=Gujarati gv=Manx
        ha=Hausa he=Hebrew hi=Hindi ho=Hiri_Motu hr=Croatian ht=Haitian hu=Hungarian hy=Armenian
        hz=Herero ia=Interlingua id=Indonesian ie=Interlingue ig=Igbo ii=Sichuan_Yi ik=Inupiaq
        io=Ido is=Icelandic it=Italian iu=Inuktitut ja=Japanese jv=Javanese ka=Georgian kg=Kongo
        ki=Kikuyu kj=Kuanyama kk=Kazakh kl=Kalaallisut km=Khmer kn=Kannada ko=Korean kr=Kanuri
        ks=Kashmiri ku=Kurdish kv=Komi kw=Cornish ky=Kyrgyz la=Latin lb=Luxembourgish lg=Ganda
        li=Limburgish ln=Lingala lo=Lao lt=Lithuanian lu=Luba-Katanga lv=Latvian mg=Malagasy
        mh=Marshallese mi=Maori mk=Macedonian ml=Malayalam mn=Mongolian mr=Marathi ms=Malay
        mt=Maltese my=Burmese na=Nauru nb=Norwegian_Bokmål nd=North_Ndebele ne=Nepali ng=Ndonga
        nl=Dutch nn=Norwegian_Nynorsk no=Norwegian nr=South_Ndebele nv=Navajo ny=Chichewa
        oc=Occitan oj=Ojibwa om=Oromo or=Oriya os=Ossetian pa=Punjabi pi=Pali pl=Polish ps=Pashto
        pt=Portuguese qu=Quechua rm=Romansh rn=Rundi ro=Romanian ru=Russian rw=Kinyarwanda
        sa=Sanskrit sc=Sardinian sd=Sindhi se=Northern_Sami sg=Sango si=Sinhala sk=Slovak
        sl=Slovenian sm=Samoan sn=Shona so=Somali sq=Albanian sr=Serbian ss=Swati
        st=Southern_Sotho su=Sundanese sv=Swedish sw=Swahili ta=Tamil te=Telugu tg=Tajik th=Thai
        ti=Tigrinya tk=Turkmen tl=Tagalog tn=Tswana to=Tonga tr=Turkish ts=Tsonga tt=Tatar tw=Twi
        ty=Tahitian ug=Uyghur uk=Ukrainian ur=Urdu uz=Uzbek ve=Venda vi=Vietnamese vo=Volapük
        wa=Walloon wo=Wolof xh=Xhosa yi=Yiddish yo=Yoruba za=Zhuang zh=Chinese zu=Zulu
        multilingual=multilingual code=code
        """.split()
    )
}

KNOWN: dict[Noun, Iterable[str]] = {"task": TASKS, "license": LICENSES, "language": LANGUAGES}


def closest(noun: Noun, name: str, known: Iterable[str]) -> str:
    """The name there is that was probably meant, with a language's English name; "" if none."""
    wanted = name.strip().lower()
    by_name = {english.lower(): code for code, english in LANGUAGES.items()}
    if noun == "language":
        near = difflib.get_close_matches(wanted, by_name, 1, 0.75)
        if near and len(wanted) > 3:
            code = by_name[near[0]]
            return f"'{code}' ({LANGUAGES[code]})"
    squeezed = {_squeezed(each): each for each in known}
    near = difflib.get_close_matches(_squeezed(wanted), squeezed, 1, 0.6)
    if not near:
        return ""
    found = squeezed[near[0]]
    english = f" ({LANGUAGES[found]})" if noun == "language" and found in LANGUAGES else ""
    return f"'{found}'{english}"


def _squeezed(name: str) -> str:
    """A name without what is easily written otherwise: "Apache 2" is near "apache-2.0"."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
