// Exercises with hidden answers; numbers in the answers are computed here, not copied.

import { digits } from "./format.js";
import { criticalEnergy, hessianLaw, indexCoefficient, indexOf } from "./laws.js";

const index = (ratio, energy, activation) => indexOf(hessianLaw(ratio, energy, activation));

/** [settings or null, question, answer] for each exercise. */
export function exercises() {
  const critical = criticalEnergy(0.25, "linear"), near = [1.01, 1.04].map((f) => index(0.25, critical * f, "linear"));
  const law = hessianLaw(0.25, 0.1, "linear"), top = law.roots[law.roots.length - 1];
  return [
    [{ ratio: 0.25, energy: 0.01, activation: "linear" },
      "At ratio 1/4, raise the energy until the lower edge of H reaches zero. Which energy is that? Write down the two equations for it.",
      `x(g) = 0 and x′(g) = 0 with x(g) = 1/(1 − φg) + 2εg + 1/g. They give ε<sub>c</sub> = (1 − 20φ − 8φ² + (1 + 8φ)<sup>3/2</sup>)/16 = ${digits(critical, 6)}.`],
    [{ ratio: 0.25, energy: critical * 1.04, activation: "linear" },
      "Read the index at 1.01 and at 1.04 times that energy. Which power of ε − ε<sub>c</sub> does it follow, and why?",
      `${digits(near[0], 3)} and ${digits(near[1], 3)}: a factor of ${digits(near[1] / near[0], 3)} for a four times larger distance, and 4<sup>3/2</sup> = 8. The density starts as a square root at the edge, and the edge moves below zero in proportion to ε − ε<sub>c</sub>; the mass below zero is the integral of that square root. The coefficient is α₀ = ${digits(indexCoefficient(0.25, "linear"), 4)}.`],
    [{ ratio: 3, energy: 0.001, activation: "linear" },
      "More parameters than data: ratio 3. What becomes of the atom of H₀ at zero when H₁ is added, and at which energy does the gap close?",
      `The linear H₁ has no atom, so the atom of weight 1 − 1/φ = 2/3 spreads into an interval of that mass around zero. The gap closes at φ(φ<sup>1/3</sup> − 1)³/2 = ${digits(1.5 * (Math.cbrt(3) - 1) ** 3, 4)}. With ReLU the atoms of H₀ and H₁ are both at zero, and H keeps one of weight 1 − 2/φ.`],
    [{ ratio: 0.25, energy: 0.1, activation: "linear", step: 4 },
      "Derive the edges of the semicircle from its R-transform R(g) = v g alone.",
      "x(g) = v g + 1/g is stationary where v = 1/g², g = ±1/√v, and there x = ±2√v."],
    [{ ratio: 0.25, energy: 0.1, activation: "linear", spike: 1 },
      "At which spike does an eigenvalue leave the bulk at ratio 1/4 and energy 0.1? How is that number found from x(g)?",
      `A spike θ makes an outlier at x(g) with g = 1/θ, if x falls there. The threshold is the stationary point: θ = ${digits(top, 5)}, where x is the upper edge, ${digits(law.edges[1], 5)}. The overlap 1 − q(θ) is zero there and grows with the distance.`],
    [{ ratio: 4, energy: 10, activation: "relu" },
      "Why does the index of the ReLU model stay below 1/2 at ratio 4, however large the energy?",
      `The rank of H₁ is at most 1/φ of its size, so that it has an atom 1 − 1/φ at zero. At large energy H is H₁ but for a small part, and its index tends to min(1, 1/φ)/2 = 1/8. Here it is ${digits(index(4, 10, "relu"), 4)}.`],
    [{ ratio: 0.25, energy: 0.1, activation: "linear", n: 25 },
      "Compare the largest eigenvalue of the sampled matrix with the upper edge at n = 25 and n = 200, for several draws. Which power of n?",
      "It lies inside the edge by about n<sup>−2/3</sup> (Tracy and Widom): four times closer at n = 200 than at n = 25. The share of eigenvalues below a point is closer to its limit: the difference falls as 1/n."],
    [{ ratio: 0.5, energy: 0.2, activation: "linear" },
      "The model gives H₁ the variance 2ε. Which variance has H₁ of a linear two-layer network with residuals N(0, 2ε), and at which energy of this page do you find it?",
      "H₁ has n equal blocks with S = m<sup>−1</sup> e x<sup>T</sup> beside their diagonal, so that tr H₁²/P = εφ. That is the model at the energy εφ/2; critical energies of such a network are 2/φ times as large."],
  ];
}

/** Fill the list; a button sets the page to the exercise. */
export function showExercises(host, store) {
  exercises().forEach(([settings, question, answer], k) => {
    const item = document.createElement("li");
    item.innerHTML = `<p>${question}</p><p class="row"></p><details><summary>Answer ${k + 1}</summary><p>${answer}</p></details>`;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Set the page to it";
    button.setAttribute("aria-label", `Set the page to exercise ${k + 1}`);
    button.addEventListener("click", () => store.set(settings));
    item.querySelector(".row").append(button);
    host.append(item);
  });
}
