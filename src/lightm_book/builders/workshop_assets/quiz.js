// A chosen answer is judged at once, with the reason.
document.querySelectorAll("fieldset.quiz").forEach((question) => {
  question.addEventListener("change", (event) => {
    const verdict = event.target.value === "yes" ? "Right. " : "Not this one. ";
    question.querySelector("[role=status]").textContent = verdict + question.dataset.why;
  });
});
