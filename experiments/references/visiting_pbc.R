# The visit process of the Mayo PBC trial by R's survival, as a reference for dpm.visit_process and the median follow-up.
#
# Data: data/pbc/pbc_longitudinal.csv. Each visit opens an interval (start, stop] in years since baseline
# (day / 365.25) until the next visit (status 1), or, after the last one, until the end of follow-up (status 0).
# Covariate: log bilirubin at the visit, divided by its standard deviation over the intervals (n - 1).
# Robust standard errors are clustered by patient. Run from the repository root; see README.md.

library(survival)
library(jsonlite)

DATA <- "data/pbc/pbc_longitudinal.csv"
OUT <- "experiments/references/results/visiting_pbc.json"

intervals <- function(visits) {
  visits <- visits[order(visits$id, visits$day), ]
  n <- nrow(visits)
  last <- c(visits$id[-n] != visits$id[-1], TRUE)
  stop_day <- ifelse(last, visits$futime_days, c(visits$day[-1], NA))
  rows <- data.frame(
    id = visits$id, start = visits$day / 365.25, stop = stop_day / 365.25, status = as.numeric(!last),
    gap = (stop_day - visits$day) / 365.25, value = log(visits$bilirubin)
  )
  rows <- rows[stop_day > visits$day, ]
  rows$scaled <- rows$value / sd(rows$value)
  rows
}

hazard <- function(formula, rows, ties) {
  fit <- coxph(formula, data = rows, ties = ties, cluster = id, robust = TRUE,
    control = coxph.control(eps = 1e-11, iter.max = 50, timefix = TRUE))
  list(
    coefficient = unname(coef(fit)), robust_se = unname(sqrt(diag(vcov(fit)))),
    model_se = unname(sqrt(diag(fit$naive.var))), loglik = fit$loglik[2], rows = fit$n, events = fit$nevent
  )
}

median_follow_up <- function(rows) {
  unname(summary(survfit(Surv(futime_days / 365.25, event == "censored") ~ 1, data = rows))$table["median"])
}

main <- function() {
  visits <- read.csv(DATA)
  rows <- intervals(visits)
  first <- visits[visits$day == 0, ]
  study <- Surv(start, stop, status) ~ scaled
  result <- list(
    data = list(file = DATA, sha256 = sub(" .*", "", system(paste("sha256sum", DATA), intern = TRUE))),
    versions = list(R = as.character(getRversion()), survival = as.character(packageVersion("survival"))),
    sd = sd(rows$value),
    study_breslow = hazard(study, rows, "breslow"),
    study_efron = hazard(study, rows, "efron"),
    gap_breslow = hazard(Surv(gap, status) ~ scaled, rows, "breslow"),
    gap_efron = hazard(Surv(gap, status) ~ scaled, rows, "efron"),
    median_follow_up = c(
      list(all = median_follow_up(first)), lapply(split(first, first$arm), median_follow_up)
    )
  )
  write_json(result, OUT, auto_unbox = TRUE, digits = NA, pretty = TRUE)
  str(result, digits.d = 7)
}

main()
