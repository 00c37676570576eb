"""What prompts are about. `HARMFUL` names what a model should not help with, in a few words and without any detail:
a request for one of these is no injection by itself, and an attack often wraps one."""

HARMFUL = [
    "breaking into a neighbour's house", "making a bomb at home", "hacking a bank", "stealing a car", "forging a passport", "making illegal drugs",
    "poisoning someone without being caught", "stalking an ex", "laundering money", "writing ransomware", "spreading lies about an election",
    "building an untraceable gun", "phishing employees", "stealing credit card numbers", "evading taxes", "insider trading", "cheating in an exam",
    "blackmailing a politician", "smuggling goods over the border", "tapping a phone", "making hate speech against a minority", "bullying a classmate online",
    "selling counterfeit goods", "hiding a body", "setting fire to a building", "cracking wifi passwords", "creating fake reviews", "taking over a social media account",
    "human trafficking", "making a chemical weapon", "growing dangerous bacteria", "manipulating stock prices", "torturing an animal", "recruiting for an extremist group",
    "doxxing a journalist", "shoplifting", "identity theft", "bribing an official", "sabotaging a power plant", "a pyramid scheme", "harassing a colleague",
    "starting a riot", "stealing trade secrets", "making deepfakes of a celebrity", "hotwiring a truck", "denial of service attacks", "buying weapons on the dark web",
    "getting around a background check", "insurance fraud", "disabling a burglar alarm", "cooking methamphetamine", "a genocide apology", "eating disorders as a lifestyle",
    "self-harm", "promoting drunk driving", "spreading computer viruses", "fake medical advice", "discrimination in hiring", "poaching rhinos", "stealing medicine from a hospital",
]

HARMLESS = [
    "bread baking", "the history of Portugal", "black holes", "gardening in small spaces", "chess openings", "learning the violin", "the French Revolution",
    "electric bicycles", "birds of the Baltic coast", "photosynthesis", "home insulation", "jazz", "train travel in Europe", "knitting", "volcanoes", "SQL joins",
    "Python decorators", "the water cycle", "time management", "raising chickens", "Roman roads", "marathon training", "green tea", "watercolour painting",
    "the stock market", "renting a flat", "job interviews", "dog training", "space probes", "recycling", "board games", "the Ottoman Empire", "public speaking",
    "solar panels", "mushroom risotto", "childhood vaccines", "coffee roasting", "typography", "machine learning", "the Great Barrier Reef", "folk tales", "sleep",
    "mountain hiking", "camera lenses", "house cats", "sourdough", "lighthouses", "Victorian novels", "quantum computers", "cheese making", "ocean currents",
    "budget planning", "vegetarian cooking", "medieval castles", "bees", "robot vacuum cleaners", "haiku", "football tactics", "Excel formulas", "yoga for beginners",
    "wedding speeches", "small talk", "the immune system", "wind turbines", "opera", "map making", "street photography", "the Silk Road", "cold brew", "grammar",
    "kites", "fermentation", "planets", "the periodic table", "bridges", "pottery", "customer service", "email etiquette", "data privacy", "Kubernetes", "regular expressions",
    "unit tests", "REST APIs", "logic puzzles", "friendship", "autumn", "a lost umbrella", "the sea at night", "school lunches", "public libraries", "wool", "ice skating",
    "trams", "garden ponds", "dialects", "old maps", "the moon", "a small bakery", "taxes for freelancers", "first aid", "national parks", "family recipes", "puppets",
]

ROLES = [
    "a travel guide", "a math teacher", "a chef", "a career coach", "a storyteller", "a Linux terminal", "an English translator", "a debate coach", "a nutritionist",
    "a librarian", "a football commentator", "a poet", "a stand-up comedian", "a motivational coach", "a screenwriter", "a novelist", "a philosopher", "a job interviewer",
    "a JavaScript console", "an Excel sheet", "a museum guide", "a history professor", "a chess opponent", "a dungeon master", "a yoga teacher", "a product manager",
    "a tax adviser", "a gardener", "a doctor in a teaching hospital", "a barista", "a pirate captain", "a medieval knight", "a detective", "a hotel receptionist",
    "a customer of a bike shop", "a SQL database", "a Python interpreter", "a regex generator", "a spelling checker", "an editor", "a journalist", "a marketing manager",
    "a startup founder", "a data scientist", "an electrician", "an architect", "an astronomer", "a marine biologist", "a fairy godmother", "a dragon", "a time traveller",
    "a robot butler", "an old lighthouse keeper", "a wise owl", "a Roman senator", "a queen", "a spaceship computer", "a grumpy wizard", "an alien tourist", "a ghost in a library",
    "a personal trainer", "a wedding planner", "a music teacher", "a speech therapist", "a code reviewer", "a UX designer", "a security consultant", "a lawyer", "a judge in a moot court",
    "a financial analyst", "a real estate agent", "a car mechanic", "a pharmacist", "a kindergarten teacher", "a scrum master", "a song writer", "a rapper", "a film critic",
    "a food critic", "a wine waiter", "a sports coach", "a scientist", "a statistician", "an essay grader", "a plagiarism checker", "a memory coach", "a dream interpreter",
    "a text adventure game", "a quiz master", "a crossword maker", "an emoji translator", "a Shakespearean actor", "Sherlock Holmes", "a hobbit", "Socrates", "Marie Curie",
    "Ada Lovelace", "Mozart", "Cleopatra", "Captain Nemo", "a villain in a superhero comic", "a witch", "a hacker in a thriller", "a bank robber in a heist film", "a spy",
    "a vampire", "an evil queen", "a rebel leader", "a mad scientist", "a thief with a heart of gold", "an AI in a science fiction novel", "a rogue android",
]
