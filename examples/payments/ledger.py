"""Write ledger.csv: 50,000 payments of 40 banks, as a bank may export them (docs/payment_days.md)."""

import random
from pathlib import Path

draw = random.Random(20)  # noqa: S311 - no secret is drawn
banks = [f"BANK{number:02}" for number in range(40)]
sizes = [draw.lognormvariate(0, 1) for _ in banks]
lines = ["Beleg;Eingang;Auftraggeber;Empfaenger;Betrag;Stufe;Status"]
for number in range(50_000):
    sender, receiver = draw.choices(banks, sizes, k=2)
    while receiver == sender:
        receiver = draw.choices(banks, sizes)[0]
    second = int(draw.triangular(6.9, 18.05, 9.5) * 3600)
    entered = f"02.03.2026 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    amount = f"{draw.lognormvariate(9, 2):,.2f}".translate(str.maketrans(",.", ".,"))
    urgency, status = draw.choices(["EIL", "NORMAL"], [1, 9])[0], draw.choices(["OK", "STORNO"], [99, 1])[0]
    lines.append(f"{number};{entered};{sender};{receiver};{amount};{urgency};{status}")
Path("ledger.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
