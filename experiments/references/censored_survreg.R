# A normal sample with values below, above and between limits by R's survival, as a reference for `Censored`.
#
# Data: experiments/references/censored_values.csv. `low` and `high` are the ends of what is known of a value: equal
# where it was measured, `low` empty below a limit, `high` empty above one. Run from the repository root.

library(survival)
library(jsonlite)

DATA <- "experiments/references/censored_values.csv"
OUT <- "experiments/references/results/censored_survreg.json"

values <- read.csv(DATA)
fit <- survreg(Surv(low, high, type = "interval2") ~ x, data = values, dist = "gaussian",
  control = survreg.control(rel.tolerance = 1e-12, maxiter = 100))
write_json(
  list(
    intercept = unname(coef(fit)[1]), slope = unname(coef(fit)[2]), sd = fit$scale, loglik = fit$loglik[2],
    se = unname(sqrt(diag(vcov(fit)))[1:2]), R = R.version.string,
    survival = as.character(packageVersion("survival"))
  ),
  OUT, auto_unbox = TRUE, digits = 12, pretty = TRUE
)
