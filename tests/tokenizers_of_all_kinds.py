"""Small tokenizers of every kind that models have, trained on the spot on many scripts, and texts to cut with them."""

import json
import random
from collections.abc import Callable
from typing import Any

TEXTS = (
    "The quick brown fox jumps over the lazy dog, and then it sleeps until the evening of the next day.",
    "Energy per token is a ratio; its denominator is counted by the server, and checked by whoever reads it.",
    "Die Donaudampfschifffahrtsgesellschaft fährt täglich außer sonntags, schöne Grüße übrigens auch.",
    "L'été dernier, nous avons goûté des crêpes à la crème brûlée près de l'hôtel où naquit Molière.",
    "El niño pequeño preguntó: ¿cuántos años tiene el señor Muñoz? ¡Nadie lo sabía!",
    "Съешь же ещё этих мягких французских булок, да выпей чаю; потом расскажи, чем всё кончилось.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία, και ύστερα γράφω ένα μεγάλο γράμμα στον φίλο μου.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ومغلف بجلد أزرق.",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה, ואחר כך הלך לישון בבית הישן.",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले विष्णुवतार भगवान श्रीराम।",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน จงฝ่าฟันพัฒนาวิชาการ",
    "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。寒來暑往，秋收冬藏。",  # noqa: RUF001
    "人工智能模型的能耗取决于它生成了多少个词元，以及每个词元需要多少焦耳。",  # noqa: RUF001
    "いろはにほへと ちりぬるを わかよたれそ つねならむ。カタカナと漢字も混ざる文章です。",
    "다람쥐 헌 쳇바퀴에 타고파. 키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "👩‍👩‍👧‍👦 said 👍🏽 to the 🏳️‍🌈, then 🎉🎉🎉 and 🇩🇪🇯🇵🇧🇷; n̂ ã é̂ z̷a̷l̷g̷o̷ too.",
    "def fib(n):\n    a, b = 0, 1\n    while a < n:\n        print(a, end=' ')\n        a, b = b, a + b\n",
    '{"name": "lookup", "arguments": {"city": "Zürich", "days": [1, 2, 3], "exact": true, "rate": -1.5e-07}}',
    "| run | tokens | J |\n|-----|-------:|------:|\n| 1   |  12345 | 67.89 |\n| 2   |  98765 | 43.21 |\n",
    "3.14159265358979 2.71828182845905 1,000,000.00 0x7fffffff 2026-11-30T12:00:00Z 192.168.0.1 1e-300",
    "\\begin{equation} \\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2} \\end{equation} % ∑∏∂∇≠≤∞",
    "a        b                c\t\t\td\n\n\n\n    e\r\n        f                                g",
    "https://example.org/a/b?c=d&e=%20f#g aGVsbG8gd29ybGQsIHRoaXMgaXMgYmFzZTY0 7d793037a0760186574b0282f2f435e7",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ha ha ha ha ha ha ha ha no no no no no no no no !!!!!!!!!!????",
)
"""Prose of many scripts, and what else models write: emoji, code, tables, numbers, white space, repetition."""

PROMPTS = 60
"""The number of built-in prompts that they are trained on beside the texts."""

BEGIN, END, PAD, UNKNOWN, SYSTEM = "<s>", "</s>", "<pad>", "<unk>", "<|im_start|>"
SPECIAL = (BEGIN, END, PAD, UNKNOWN, SYSTEM)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _byte_level() -> tuple[Any, Any]:
    """Return GPT's and Llama 3's kind: pairs of bytes are merged."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return tokenizer, trainers.BpeTrainer(
        vocab_size=1500, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )


def _byte_fallback() -> tuple[Any, Any]:
    """Return Llama 2's kind: pairs of characters are merged, and a character that is unknown is its bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer, trainers.BpeTrainer(
        vocab_size=1200, special_tokens=list(SPECIAL), limit_alphabet=150, show_progress=False
    )


def _with_bytes(tokenizer: Any) -> Any:
    """Return the tokenizer with a token for each byte more, for which no trainer has a place."""
    from tokenizers import Tokenizer

    described = json.loads(tokenizer.to_str())
    vocabulary = described["model"]["vocab"]
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    return Tokenizer.from_str(json.dumps(described))


def _unigram() -> tuple[Any, Any]:
    """Return T5's and Gemma's kind: the likeliest cut of a text, words with a mark before them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=1500, special_tokens=list(SPECIAL), unk_token=UNKNOWN, show_progress=False
    )


def _word_piece() -> tuple[Any, Any]:
    """Return BERT's kind: longest pieces of words, which `##` continues."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return tokenizer, trainers.WordPieceTrainer(vocab_size=1500, special_tokens=list(SPECIAL), show_progress=False)


KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "byte_level": _byte_level,
    "byte_fallback": _byte_fallback,
    "unigram": _unigram,
    "word_piece": _word_piece,
}


def build(kind: str) -> Any:
    """Return the tokenizer of this kind, for transformers; it puts BOS before a text, as most models want it."""
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    from llenergymeasure.workload.prompts import builtin_text

    tokenizer, trainer = KINDS[kind]()
    prompts = [json.loads(line)["prompt"] for line in builtin_text().splitlines()[:PROMPTS]]
    tokenizer.train_from_iterator([*TEXTS, *TEXTS, *prompts], trainer)
    if getattr(tokenizer.model, "byte_fallback", False):
        tokenizer = _with_bytes(tokenizer)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[SYSTEM],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def some_text(draw: random.Random) -> str:
    """Return a few of the texts one after the other, each from anywhere in it."""
    parts = draw.sample(TEXTS, draw.randint(1, 4))
    return draw.choice((" ", "\n", "\n\n")).join(text[draw.randrange(len(text) // 2) :] for text in parts)
