// One slide at a time: arrows, space, Page Up and Down, Home and End move; N shows the speaker notes; P prints.
const slides = [...document.querySelectorAll(".slide")];
const at = () => Math.min(Math.max((parseInt(location.hash.slice(1)) || 1) - 1, 0), slides.length - 1);
const show = () => slides.forEach((slide, place) => slide.classList.toggle("on", place === at()));
const go = (place) => { location.hash = Math.min(Math.max(place, 0), slides.length - 1) + 1; };
const keys = {
  ArrowRight: () => go(at() + 1), PageDown: () => go(at() + 1), " ": () => go(at() + 1),
  ArrowLeft: () => go(at() - 1), PageUp: () => go(at() - 1),
  Home: () => go(0), End: () => go(slides.length - 1),
  n: () => document.body.classList.toggle("with-notes"), p: () => print(),
};
addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
addEventListener("hashchange", show);
let touched = 0;
addEventListener("touchstart", (event) => { touched = event.changedTouches[0].clientX; });
addEventListener("touchend", (event) => {
  const moved = event.changedTouches[0].clientX - touched;
  if (Math.abs(moved) > 60 && !event.target.matches("input")) go(at() - Math.sign(moved));
});
show();
