from .assay import Assay as Assay
from .assay import Mutant as Mutant
from .assay import audit as audit
from .assay import other_reference as other_reference
from .report import AuditReport as AuditReport
